"""Pools that train groups of runs on this machine or on a Ray cluster, and the command line.

`LocalPool` trains in threads of this process, `RayPool` in Ray actors; both implement
`transfer.Pool`. `submit` submits an experiment to a cluster; `list_jobs`, `status`, `logs`,
`follow` and `stop` work on submitted experiments.
"""

import lazy_loader as lazy

# Names are imported on first use, from the modules given in `__init__.pyi`.
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

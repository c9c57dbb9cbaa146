"""Pools that train groups of runs on this machine or on a Ray cluster, and the command line.

`LocalPool` trains in threads of this process, `RayPool` in actors; both implement
`transfer.Pool`. `submit` hands an experiment to a cluster; `list_jobs`, `status`, `logs`, `follow`
and `stop` work on what was submitted (`jobs.cluster.submit`). Names are imported when first
used, so that the command line starts at once.
"""

import lazy_loader as lazy

# Names are imported when first used; `__init__.pyi` says where each comes from.
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

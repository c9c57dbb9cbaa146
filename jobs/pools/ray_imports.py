"""What Ray's workers import: the driver's current folder comes first on their search path.

Modules of the user's, which the machines of a cluster need not have, are sent with every group.
"""

import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import ray

from jobs.errors import OURS, PoolError


def refuse_hidden_packages(folder: Path) -> None:
    """Check that no module in the driver's current folder replaces a package in the workers.

    Raises:
        PoolError: such a file is there, with its name.
    """
    for package in OURS:
        there, here = PathFinder.find_spec(package, [str(folder)]), find_spec(package)
        if there is None or there.origin is None or here is None or there.origin == here.origin:
            continue
        raise PoolError(
            f"{there.origin} would hide the package {package!r} of mupc from Ray's workers: rename "
            "it, or start mupc in another folder"
        )


def send_by_value(modules: Iterable[str]) -> None:
    """Make Ray send functions and classes of these modules whole, not by the names of modules.

    A worker then needs no file of the user's, and has the code that the driver has, also after the
    file was edited. What they use of other modules is sent by name.
    """
    for name in modules:
        if name != "__main__" and name in sys.modules:  # whose things Ray always sends whole
            ray.cloudpickle.register_pickle_by_value(sys.modules[name])

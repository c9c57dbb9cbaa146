"""The module search path of Ray's workers, on which the driver's current folder comes first."""

from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

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

"""What is wrong with each of several files."""

from collections.abc import Callable, Iterable

import pyarrow as pa

from results.errors import because


def faults_among(paths: Iterable[str], examine: Callable[[str], str | None]) -> dict[str, str]:
    """Return the fault of each damaged file, by path.

    A file that cannot be read is damaged; one that other processes have removed meanwhile is not.

    Args:
        paths: the files.
        examine: reads a file and returns its fault, or None.
    """
    found = {}
    for path in paths:
        try:
            fault = examine(path)
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException) as error:
            fault = f"it cannot be read: {because(error)}"
        if fault is not None:
            found[path] = fault
    return found

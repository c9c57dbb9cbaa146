"""Reading of regular files only: a pipe or a device in their place never blocks a reader."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class UnfitFileError(OSError):
    """A file that is not regular, or larger than a file of its kind may be."""


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading; links are followed.

    Raises:
        UnfitFileError: it is a folder, a pipe, a device or a socket.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnfitFileError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_size(size: int, most: int, path: str) -> None:
    """Raise `UnfitFileError` if a file has more than `most` bytes."""
    if size > most:
        raise UnfitFileError(
            errno.EFBIG, f"it has {size} bytes, more than the {most} allowed", path
        )

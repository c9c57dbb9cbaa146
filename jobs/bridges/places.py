"""The places that bridges write to: one writer each, and nothing half-made."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from jobs.errors import CommandError

SQLITE = b"SQLite format 3\0"


@contextmanager
def only_writer(place: Path) -> Iterator[None]:
    """Lock a place, so that two exports at the same time do not write the same runs twice.

    Raises:
        CommandError: another process has the lock.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f".{place.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another mupc export writes to {place}: stop it, or choose another --to"
            ) from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def create(place: Path, make: Callable[[Path], object]) -> None:
    """Make a file under another name, and rename it when it is whole.

    Args:
        place: the file.
        make: writes a new file at the path that it is given.
    """
    unfinished = place.with_name(f".{place.name}.{uuid4().hex[:8]}.tmp")
    try:
        make(unfinished)
        unfinished.replace(place)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def begins_with(place: Path, magic: bytes) -> bool:
    """Return whether a file begins with these bytes."""
    with place.open("rb") as file:
        return file.read(len(magic)) == magic

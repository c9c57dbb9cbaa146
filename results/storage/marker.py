"""The marker file of a ledger. It is written first; a folder without it is never changed."""

import json

from pyarrow.fs import FileType

from results.errors import LedgerError
from results.storage.folder import Folder
from results.storage.limits import RECORD_BYTES

NAME = "mupc-ledger.json"
FORMAT = "mupc-ledger"
LAYOUT = 1
"""Version of the layout of the folder; `results.schema.tables` has that of the tables."""


def ensure(folder: Folder, create: bool) -> None:
    """Check that the folder is a ledger that this version can read, or create one.

    Args:
        folder: the folder.
        create: whether to create a ledger if the folder is missing or empty.

    Raises:
        LedgerError: the folder is no ledger, or was written by a newer version.
    """
    with folder.reading():
        kind = folder.kind()
        if kind == FileType.File:
            raise LedgerError(f"{folder.shown!r} is a file, not the folder of a ledger")
        # List first: a process that creates the ledger meanwhile writes the marker first.
        blank = all(info.base_name.startswith(".") for info in folder.entries())
        content = _content(folder)
    if content is not None:
        _check(folder, content)
    elif create and blank:
        _write(folder)
    elif kind == FileType.NotFound:
        raise LedgerError(f"there is no ledger at {folder.shown!r}")
    else:
        what = "is empty" if blank else f"holds other things and no {NAME}"
        raise LedgerError(f"the folder {folder.shown!r} is not a ledger: it {what}")


def _content(folder: Folder) -> bytes | None:
    try:
        return folder.read(NAME, most=RECORD_BYTES)
    except FileNotFoundError:
        return None


def _write(folder: Folder) -> None:
    data = json.dumps({"format": FORMAT, "layout": LAYOUT}).encode()
    try:
        folder.publish(NAME, data)
    except FileExistsError:  # another process created it meanwhile
        _check(folder, folder.read(NAME, most=RECORD_BYTES))


def _check(folder: Folder, content: bytes) -> None:
    try:
        marker = json.loads(content)
        layout = marker["layout"] if marker["format"] == FORMAT else None
    except (ValueError, TypeError, LookupError, RecursionError):  # too deeply nested
        layout = None
    if not isinstance(layout, int):
        raise LedgerError(f"the folder {folder.shown!r} is not a ledger: its {NAME} is unreadable")
    if layout > LAYOUT:
        raise LedgerError(
            f"the ledger {folder.shown!r} has layout {layout}, newer than {LAYOUT}, the newest "
            "that this version of mupc reads: install a newer one"
        )

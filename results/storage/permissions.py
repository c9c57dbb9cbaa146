"""Whether files can be written to a local folder, tried before work whose result goes there."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile


def try_folder(folder: Path) -> None:
    """Write and delete a file in a folder; folders made for it are removed.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"trial")
            file.flush()
    finally:
        for place in made:
            with suppress(OSError):
                place.rmdir()


def may_replace(path: Path) -> bool:
    """Return whether this user may delete or replace a file in a folder that is writable.

    In a folder with the sticky bit, files of other users stay.
    """
    try:
        folder, file = path.parent.stat(), path.lstat()
    except OSError:
        return True
    if not folder.st_mode & stat.S_ISVTX:
        return True
    return os.geteuid() in (0, folder.st_uid, file.st_uid)

"""The cache of compiled programs, which the workers of a node share and later runs reuse.

JAX writes an entry in place, so a process killed while writing leaves a truncated one. JAX never
replaces it, but warns and compiles again, every time. Truncated entries are removed at start.
"""

import os
import zlib
from importlib import import_module
from pathlib import Path

from jobs.errors import SettingError
from jobs.pools.machine import cpu_features

_ZLIB_MAGIC = b"\x78"
_STAMP = "checked"  # entries older than this file are complete


def user_cache() -> Path:
    """Return the cache folder: `MUPC_CACHE`, else `XDG_CACHE_HOME`/mupc, else ~/.cache/mupc.

    Raises:
        SettingError: the user has no home folder, and the variables are not set.
    """
    if own := os.environ.get("MUPC_CACHE"):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "mupc"
    try:
        return Path.home() / ".cache" / "mupc"
    except RuntimeError:
        raise SettingError(
            "this user has no home folder: set HOME, or MUPC_CACHE to a folder for caches"
        ) from None


def folder() -> Path:
    """Return the compilation cache of machines like this one.

    Programs use the instructions of the CPU that compiled them, so different machines that share a
    home folder need caches of their own.
    """
    return user_cache() / "xla" / cpu_features()


def open_folder() -> Path | None:
    """Create the folder and remove its truncated entries. None if there is no writable one."""
    try:
        path = folder()
        path.mkdir(parents=True, exist_ok=True)
        remove_truncated(path)
    except (OSError, SettingError):
        return None
    return path if os.access(path, os.W_OK) else None


def remove_truncated(path: Path) -> list[str]:
    """Remove the entries in `path` that cannot be decompressed, and return their names.

    Only entries written since the last call are read. An entry that another process is writing at
    this moment may be removed too: its program will be compiled again.
    """
    stamp = path / _STAMP
    since = stamp.stat().st_mtime if stamp.exists() else 0.0
    stamp.touch()
    if since > stamp.stat().st_mtime:  # the clock was ahead, and hides what was written since
        since = 0.0
    removed = []
    for entry in path.glob("*-cache"):
        try:
            if entry.stat().st_mtime >= since and not _is_complete(entry.read_bytes()):
                entry.unlink(missing_ok=True)
                removed.append(entry.name)
        except FileNotFoundError:  # another process removed it first
            continue
    return removed


def _is_complete(data: bytes) -> bool:
    try:
        if data.startswith(_ZLIB_MAGIC):
            zlib.decompress(data)
        else:
            _zstd_decompress(data)
    except Exception:  # each codec has an error class of its own
        return False
    return True


def _zstd_decompress(data: bytes) -> None:
    """Decompress with JAX's codec: Python 3.14's, else the package zstandard."""
    try:
        import_module("compression.zstd").decompress(data)
    except ImportError:
        import_module("zstandard").ZstdDecompressor().decompress(data)

"""Where compiled programs are kept between runs, shared by the workers of a node.

JAX writes an entry in place, so a process killed while writing leaves a torn one, which JAX never
replaces: it warns and compiles again, every time. Torn entries are therefore removed at start.
"""

import os
import zlib
from importlib import import_module
from pathlib import Path

from jobs.pools.machine import cpu_features

_ZLIB_MAGIC = b"\x78"
_STAMP = "checked"  # its modification time says up to when entries were found whole


def user_cache() -> Path:
    """The project's cache folder: `MUPC_CACHE`, else `XDG_CACHE_HOME`/mupc, else ~/.cache/mupc."""
    if own := os.environ.get("MUPC_CACHE"):
        return Path(own)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "mupc"


def folder() -> Path:
    """The compilation cache of machines like this one.

    Programs for the CPU use the instructions of the CPU that compiled them: a home folder shared by
    different machines must not hand them around.
    """
    return user_cache() / "xla" / cpu_features()


def open_folder() -> Path | None:
    """Create the folder and remove its torn entries. None where it cannot be written."""
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
        remove_torn(path)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) else None


def remove_torn(path: Path) -> list[str]:
    """Remove the entries in `path` that cannot be unpacked; returns their names.

    Only entries written since the last call are read. One that another process is writing at this
    moment may go too: it will be compiled again.
    """
    stamp = path / _STAMP
    since = stamp.stat().st_mtime if stamp.exists() else 0.0
    stamp.touch()
    torn = []
    for entry in path.glob("*-cache"):
        try:
            if entry.stat().st_mtime >= since and not _whole(entry.read_bytes()):
                entry.unlink(missing_ok=True)
                torn.append(entry.name)
        except FileNotFoundError:  # another process removed it first
            continue
    return torn


def _whole(data: bytes) -> bool:
    try:
        if data.startswith(_ZLIB_MAGIC):
            zlib.decompress(data)
        else:
            _zstd_decompress(data)
    except Exception:  # each codec has its own error class; all mean that JAX cannot read it either
        return False
    return True


def _zstd_decompress(data: bytes) -> None:
    """Unpack with the codec that JAX would use: Python 3.14's, else the package zstandard."""
    try:
        import_module("compression.zstd").decompress(data)
    except ImportError:
        import_module("zstandard").ZstdDecompressor().decompress(data)

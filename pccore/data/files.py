"""Files of data sets: their folder, reading, verification and download."""

import errno
import gzip
import hashlib
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path
from urllib.parse import urlsplit

from pccore.data.errors import DatasetError

ENVIRONMENT_VARIABLE = "MUPC_DATA"
"""The environment variable with the folder of the data sets."""

_GZIP_MAGIC = b"\x1f\x8b"

MOST_BYTES = 2**34
"""The most that a file of the user's own may take in memory: 16 GiB."""
_FREE_BYTES, _RATIO = 2**24, 256


def directory(data_dir: Path | str | None = None) -> Path:
    """Return the absolute path of the folder of data sets.

    It is `data_dir` if given, else the environment variable MUPC_DATA, else the user's cache.

    Raises:
        DatasetError: the user has no home folder, which the path depends on.
    """
    chosen = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        return Path(chosen or _user_cache()).expanduser().resolve()
    except RuntimeError:
        raise DatasetError(
            f"this user has no home folder for data sets: set {ENVIRONMENT_VARIABLE} or --data-dir "
            "to the folder that has them"
        ) from None


def _user_cache() -> Path:
    import pooch

    return Path(pooch.os_cache("mupc"))


def first_existing(candidates: Sequence[Path]) -> Path | None:
    """Return the first candidate that is a regular file (following links), or None."""
    return next((path for path in candidates if path.is_file()), None)


def missing(name: str, file: str, root: Path) -> DatasetError:
    """Return the error for a data set `name` whose `file` is not in `root`."""
    return DatasetError(
        f"data set {name!r} needs {file}, which is neither in {root / name} nor in {root}: set "
        f"{ENVIRONMENT_VARIABLE} or --data-dir to the folder that has it, or run "
        f"'mupc datasets --fetch {name}'"
    )


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; a pipe or a device in its place never blocks.

    Raises:
        OSError: it is not a regular file, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def allowance(packed: int) -> int:
    """Return how many bytes a file of `packed` bytes may unpack to.

    16 MiB in any case and 256 times its size, which no compressed picture comes near, but at most
    16 GiB.
    """
    return min(_FREE_BYTES + _RATIO * packed, MOST_BYTES)


def size_of(path: Path) -> int:
    """Return the bytes of a regular file.

    Raises:
        DatasetError: it cannot be opened, or is no regular file.
    """
    try:
        with open_regular(path) as file:
            return os.fstat(file.fileno()).st_size
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError) -> DatasetError:
    """Return the error for a file that the system does not let be read."""
    return DatasetError(f"{path} cannot be read: {error.strerror or error}")


def read_unpacked(path: Path, max_bytes: int) -> bytes:
    """Read a file and unpack it if its first bytes are those of gzip.

    Raises:
        DatasetError: the file cannot be read or unpacked, or its content exceeds `max_bytes`.
    """
    try:
        with open_regular(path) as file:
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    content = unpacked.read(max_bytes + 1)
            else:
                content = file.read(max_bytes + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: it cannot be unpacked ({error})") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > max_bytes:
        raise DatasetError(f"{path} unpacks to more than the {max_bytes} bytes that are allowed")
    return content


def read_verified(path: Path, size: int, sha256: str) -> bytes:
    """Read and unpack a file, and verify its size in bytes and its SHA-256 (hex).

    Raises:
        DatasetError: the file cannot be read, or its size or digest is not the given one.
    """
    content = read_unpacked(path, size)
    if len(content) != size:
        raise DatasetError(
            f"{path} is damaged: it unpacks to {len(content)} bytes, expected {size}"
        )
    require_digest(path, hashlib.sha256(content).hexdigest(), sha256)
    return content


def require_digest(path: Path, found: str, expected: str) -> None:
    """Raise `DatasetError` unless the digests (hex) are equal."""
    if found != expected:
        raise DatasetError(
            f"{path} is damaged or belongs to another data set: the SHA-256 of its content is "
            f"{found}, expected {expected}"
        )


def download(urls: Sequence[str], target: Path, verify: Callable[[Path], object]) -> None:
    """Download a file from the first mirror that delivers the right one, or leave no file.

    Args:
        urls: mirrors, in the order in which they are tried.
        target: the file to write or replace; its folder is created if missing.
        verify: raises `DatasetError` unless the path given has the right file.

    Raises:
        DatasetError: no mirror delivered the right file, or `target` cannot be written.
    """
    causes = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
                part = Path(folder) / target.name
                cause = _deliver(url, part, verify)
                if cause is None:
                    _publish(part, target)
                    return
                causes.append(f"{urlsplit(url).netloc}: {cause}")
    except OSError as error:
        raise DatasetError(
            f"{target} cannot be written: {error.strerror or error}; choose another folder with "
            f"{ENVIRONMENT_VARIABLE} or --data-dir"
        ) from error
    raise DatasetError(f"{target.name} could not be fetched ({'; '.join(causes)})")


def _deliver(url: str, part: Path, verify: Callable[[Path], object]) -> str | None:
    """Download `url` to `part` and verify it. Return the cause of a failure, or None."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # silence its advice to pin the digests of the archives
    try:
        pooch.retrieve(url, known_hash=None, fname=part.name, path=part.parent)
        verify(part)
    except DatasetError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return None


def _publish(part: Path, target: Path) -> None:
    """Rename `part` to `target` after its bytes are on the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)

"""Files of data sets: where they are looked for, how they are read, and how they are fetched."""

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pccore.data.dataset import DatasetError

ENVIRONMENT_VARIABLE = "MUPC_DATA"

_GZIP_MAGIC = b"\x1f\x8b"


def directory(data_dir: Path | str | None = None) -> Path:
    """The absolute folder where data files are looked for and fetched to.

    It is `data_dir` when given, else the environment variable MUPC_DATA, else the user's cache.
    """
    chosen = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().resolve()
    import pooch

    return Path(pooch.os_cache("mupc")).resolve()


def first_existing(candidates: Sequence[Path]) -> Path | None:
    """The first of `candidates` that is a regular file (links followed), or None."""
    return next((path for path in candidates if path.is_file()), None)


def missing(name: str, file: str, root: Path) -> DatasetError:
    """The error for a data set `name` of which `file` is not in `root`."""
    return DatasetError(
        f"data set {name!r} needs {file}, which is neither in {root / name} nor in {root}: point "
        f"{ENVIRONMENT_VARIABLE} or --data-dir to the folder that holds it, or run "
        f"'mupc datasets --fetch {name}'"
    )


def read_unpacked(path: Path, max_bytes: int) -> bytes:
    """The content of `path`, unpacked when it is gzipped (told by its first bytes).

    Raises:
        DatasetError: it cannot be read, its packing is damaged, or there are more than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
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
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > max_bytes:
        raise DatasetError(f"{path} unpacks to more than the {max_bytes} bytes that it may hold")
    return content


def read_verified(path: Path, size: int, sha256: str) -> bytes:
    """The unpacked content of `path`, which must be `size` bytes with this SHA-256 (hex).

    Raises:
        DatasetError: it cannot be read, or its size or digest is another.
    """
    content = read_unpacked(path, size)
    if len(content) != size:
        raise DatasetError(
            f"{path} is damaged: it unpacks to {len(content)} bytes where {size} are expected"
        )
    require_digest(path, hashlib.sha256(content).hexdigest(), sha256)
    return content


def require_digest(path: Path, found: str, expected: str) -> None:
    """Raise `DatasetError` unless the digests (hex) are equal."""
    if found != expected:
        raise DatasetError(
            f"{path} is damaged or another data set's: the SHA-256 of its content is {found} where "
            f"{expected} is expected"
        )


def download(urls: Sequence[str], target: Path, verify: Callable[[Path], object]) -> None:
    """Put at `target` what the first good mirror delivers: all of it, verified, or nothing.

    Args:
        urls: mirrors, tried in this order.
        target: the file to write or replace; its folder is made when needed.
        verify: raises `DatasetError` unless the file downloaded to the path given is the right one.

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
    """Download `url` to `part` and verify it; why that failed, or None."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would propose to pin the digests of the archives
    try:
        pooch.retrieve(url, known_hash=None, fname=part.name, path=part.parent)
        verify(part)
    except DatasetError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return None


def _publish(part: Path, target: Path) -> None:
    """Rename `part` to `target` once its bytes are on the disk: never half a file."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)

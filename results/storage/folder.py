"""A folder on a local disk or in an object store, with atomic writing of files."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

from results.errors import LedgerError, because
from results.storage.limits import FILE_BYTES
from results.storage.permissions import may_replace
from results.storage.regular import open_regular, require_size
from results.uri import refusal, shown

OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
"""File systems where an object appears only when complete, and that have no folders."""

STALE_SECONDS = 86_400.0
"""Age at which a temporary file is taken to be left by a killed writer."""

SWEPT_TIMES = 2
"""How often a file is written again because its temporary file was deleted meanwhile."""

PIECE_BYTES = 2**20

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Folder:
    """Reading and atomic writing under one folder.

    Args:
        place: a local path, or a URI that pyarrow supports (`s3://bucket/runs`, `gs://...`).
        filesystem: the file system on which `place` is a path; by default the local disk.

    Raises:
        LedgerError: pyarrow does not support the URI, or it holds a key.
    """

    def __init__(
        self, place: str | os.PathLike[str], filesystem: pafs.FileSystem | None = None
    ) -> None:
        place = os.fspath(place)
        self.shown = shown(place)
        if reason := refusal(place):
            raise LedgerError(f"the ledger {reason}")
        if filesystem is not None:
            self.filesystem, self.root = filesystem, place
        elif "://" in place:
            try:
                self.filesystem, self.root = pafs.FileSystem.from_uri(place)
            except (OSError, ValueError, pa.ArrowException) as error:
                raise LedgerError(f"cannot open {self.shown!r}: {because(error)}") from error
        else:
            self.filesystem = pafs.LocalFileSystem()
            try:
                self.root = str(Path(place).expanduser().absolute())
            except (OSError, RuntimeError) as error:  # no current folder, no home for "~"
                raise LedgerError(f"cannot open {self.shown!r}: {because(error)}") from error
        self.local = isinstance(self.filesystem, pafs.LocalFileSystem)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn errors of reading into a `LedgerError`."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise LedgerError(f"cannot read {self.shown!r}: {because(error)}") from error

    def path(self, name: str) -> str:
        """Return the path of a file on the file system."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def kind(self) -> pafs.FileType:
        """Return whether the folder is a directory, a file or missing."""
        return self.filesystem.get_file_info(self.root).type

    def entries(self, name: str = "") -> list[pafs.FileInfo]:
        """Return the entries of the folder, or of a folder in it; none if it does not exist."""
        selector = pafs.FileSelector(self.path(name), allow_not_found=True)
        try:
            with self.absence_asked([name]):
                return self.filesystem.get_file_info(selector)
        except FileNotFoundError:  # also if it was created while Arrow was listing
            return []

    def names(self, name: str) -> list[str]:
        """Return the names of the entries of a folder in it; none if it does not exist.

        On a local disk this is ten times as fast as `entries`, which reads their sizes.
        """
        if not self.local:
            return [info.base_name for info in self.entries(name)]
        try:
            return os.listdir(self.path(name))  # noqa: PTH208 - faster than iterdir
        except FileNotFoundError:
            return []

    def read(self, name: str, last: int | None = None, most: int = FILE_BYTES) -> bytes:
        """Return the bytes of a file, or its last `last` bytes.

        Raises:
            FileNotFoundError: the file does not exist.
            UnfitFileError: it is not a regular file, or has more than `most` bytes.
            OSError, pyarrow.ArrowException: it cannot be read.
        """
        with self.absence_asked([name]), self._open(name, most) as (source, size):
            start = 0 if last is None else max(size - last, 0)
            source.seek(start)
            return bytes(source.read(size - start))

    def pieces(self, name: str, most: int = FILE_BYTES) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces. Raises what `read` raises."""
        with self.absence_asked([name]), self._open(name, most) as (source, left):
            while left > 0 and (piece := source.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield bytes(piece)

    @contextmanager
    def absence_asked(self, names: Iterable[str]) -> Iterator[None]:
        """Raise FileNotFoundError for an error of reading files of which one does not exist.

        Stores have errors of their own for it, so that the file system is asked.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            gone = self._absent(list(names))
            if gone is None:
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), gone) from error

    def remove(self, name: str) -> None:
        """Delete a file; do nothing if it is already gone.

        Raises:
            LedgerError: the file cannot be deleted.
        """
        try:
            self._refuse_links(name)
            with self.absence_asked([name]):
                self.filesystem.delete_file(self.path(name))
        except FileNotFoundError:
            return
        except (OSError, pa.ArrowException) as error:
            raise LedgerError(f"cannot delete from {self.shown!r}: {because(error)}") from error

    def removable(self, name: str) -> bool:
        """Return whether this process may delete or replace a file in a folder it can write to.

        Not a file of another user in a local folder with the sticky bit.
        """
        return not self.local or may_replace(Path(self.path(name)))

    def try_writing(self, name: str = "") -> None:
        """Write and delete a file in the folder, or in a folder in it if that exists.

        Raises:
            LedgerError: the folder cannot be written to.
        """
        if name and self.filesystem.get_file_info(self.path(name)).type == pafs.FileType.NotFound:
            return
        trial = self._trial(name)
        with suppress(LedgerError):
            self.remove(trial)

    def move(self, name: str, to: str) -> None:
        """Move a file; do nothing if another process has moved or deleted it.

        In an object store it is copied and then deleted, so that both may exist for a moment.

        Raises:
            LedgerError: the file cannot be moved.
        """
        source, target = self.path(name), self.path(to)
        try:
            self._refuse_links(name)
            self._refuse_links(to)
            if self.local:
                _make_folder(Path(target).parent)
                Path(source).rename(target)
                _sync(Path(target).parent)
                _sync(Path(source).parent)
            else:
                self._make_folder(target)
                self.filesystem.move(source, target)
        except (OSError, pa.ArrowException) as error:
            if self._absent([name]):
                return
            raise LedgerError(f"cannot write to {self.shown!r}: {because(error)}") from error

    def publish(self, name: str, data: bytes, replace: bool = False) -> None:
        """Write a file atomically and durably; create folders as needed.

        Args:
            name: path in the folder.
            data: the bytes.
            replace: whether to replace an existing file.

        Raises:
            FileExistsError: the file exists and `replace` is false.
            LedgerError: the file cannot be written; nothing has changed.
        """
        write = self._publish_local if self.local else self._publish_elsewhere
        try:
            self._refuse_links(name)
            for _ in range(SWEPT_TIMES):
                with suppress(FileNotFoundError):  # swept by a process whose clock is ahead
                    return write(self.path(name), data, replace)
            write(self.path(name), data, replace)
        except FileExistsError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise LedgerError(f"cannot write to {self.shown!r}: {because(error)}") from error

    def sweep(self, name: str, suffix: str | None = None) -> None:
        """Delete what killed processes left in a folder more than a day ago.

        Args:
            name: the folder.
            suffix: of files to delete beside the temporary ones.
        """
        left = [info for info in self.entries(name) if _may_be_left(info.base_name, suffix)]
        for info in self.aged(name, left):
            with suppress(LedgerError):  # another user's
                self.remove(f"{name}/{info.base_name}")

    def aged(self, name: str, files: list[pafs.FileInfo]) -> list[pafs.FileInfo]:
        """Return the files of a folder that were written more than a day ago.

        Age is the difference of two times that the file system gave: that of the file, and that of
        one that is written now. The clock of this machine may be wrong.
        """
        now = self._now(name) if files else None
        return [
            info
            for info in files
            if now and info.mtime_ns and now - info.mtime_ns > 1e9 * STALE_SECONDS
        ]

    def _now(self, name: str) -> int | None:
        """Return the time of a file that is written now, in ns; None if it is unknown."""
        try:
            trial = self._trial(name)
            now = self.filesystem.get_file_info(self.path(trial)).mtime_ns
        except (LedgerError, OSError, pa.ArrowException):
            return None
        with suppress(LedgerError):
            self.remove(trial)
        return None if now is None else int(now)

    def _trial(self, name: str) -> str:
        """Write a small file in a folder and return its name."""
        parent = f"{name}/" if name else ""
        # In an object store one name, as a role may be allowed to write but not to delete.
        trial = f"{parent}{_temporary('trial') if self.local else '.trial'}"
        self.publish(trial, b"mupc", replace=True)
        return trial

    def _absent(self, names: list[str]) -> str | None:
        """Return the first of the files that does not exist; None if all do, or nobody knows."""
        try:
            infos = self.filesystem.get_file_info([self.path(name) for name in names])
        except (OSError, pa.ArrowException):
            return None
        kinds = zip(names, infos, strict=True)
        return next((name for name, info in kinds if info.type == pafs.FileType.NotFound), None)

    @contextmanager
    def _open(self, name: str, most: int) -> Iterator[tuple[IO[bytes] | pa.NativeFile, int]]:
        """Open a file of at most `most` bytes; yields it and its size."""
        path = self.path(name)
        if self.local:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                require_size(size, most, path)
                yield file, size
        else:
            with self.filesystem.open_input_file(path) as source:
                require_size(source.size(), most, path)
                yield source, source.size()

    def _refuse_links(self, name: str) -> None:
        """Raise OSError if a folder of the ledger on the way to a file is a link.

        It could lead to files that are not of the ledger.
        """
        if not self.local:
            return
        path = Path(self.root)
        for part in name.split("/")[:-1]:
            path /= part
            if path.is_symlink():
                raise OSError(errno.ELOOP, f"{part} is a link, which is not followed", str(path))

    def _publish_local(self, path: str, data: bytes, replace: bool) -> None:
        _publish_local(Path(path), data, replace)

    def _publish_elsewhere(self, path: str, data: bytes, replace: bool) -> None:
        # This check need not be atomic: without `replace` only unique names are published, and the
        # marker, which has the same content from every writer.
        if not replace and self.filesystem.get_file_info(path).type != pafs.FileType.NotFound:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if self.filesystem.type_name in OBJECT_STORES:
            self._write(path, data)
            return
        self._make_folder(path)
        parent, _, base = path.rpartition("/")
        temporary = f"{parent}/{_temporary(base)}"
        self._write(temporary, data)
        self.filesystem.move(temporary, path)

    def _make_folder(self, path: str) -> None:
        """Create the parent folder of `path`, on file systems that have folders."""
        parent = path.rpartition("/")[0]
        if parent and self.filesystem.type_name not in OBJECT_STORES:
            try:
                self.filesystem.create_dir(parent, recursive=True)
            except FileExistsError:
                raise _not_a_folder(parent) from None

    def _write(self, path: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(path) as sink:
            sink.write(data)


def _may_be_left(name: str, suffix: str | None) -> bool:
    temporary = name.startswith(".") and name.endswith(".tmp")
    return temporary or (suffix is not None and name.endswith(suffix))


def _temporary(name: str) -> str:
    """Return a name that readers ignore and no other writer uses."""
    return f".{name}.{uuid4().hex[:8]}.tmp"


def _publish_local(path: Path, data: bytes, replace: bool) -> None:
    _make_folder(path.parent)
    temporary = path.with_name(_temporary(path.name))
    try:
        with temporary.open("xb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        if replace:
            temporary.replace(path)
        else:
            _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _link(temporary: Path, path: Path) -> None:
    """Give a finished file its name; raise FileExistsError if the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
        temporary.rename(path)


def _make_folder(path: Path) -> None:
    """Create a folder and its parents, durably."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise _not_a_folder(path) from None
    _sync(path.parent)


def _not_a_folder(path: str | Path) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A folder on a local disk or in an object store, with atomic writing of files."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

from results.errors import LedgerError, because
from results.storage.permissions import may_replace
from results.uri import refusal, shown

OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
"""File systems where an object appears only when complete, and that have no folders."""

STALE_SECONDS = 86_400.0
"""Age at which a temporary file is taken to be left by a killed writer."""

SWEPT_TIMES = 2
"""How often a file is written again because its temporary file was deleted meanwhile."""

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
            return self.filesystem.get_file_info(selector)
        except FileNotFoundError:  # created while Arrow was listing
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

    def read(self, name: str, last: int | None = None) -> bytes:
        """Return the bytes of a file, or its last `last` bytes."""
        with self.filesystem.open_input_file(self.path(name)) as source:
            if last is not None:
                source.seek(max(source.size() - last, 0))
            return source.read()

    def remove(self, name: str) -> None:
        """Delete a file; do nothing if it is already gone.

        Raises:
            LedgerError: the file cannot be deleted.
        """
        try:
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
        parent = f"{name}/" if name else ""
        # In an object store one name, as a role may be allowed to write but not to delete.
        trial = f"{parent}{_temporary('trial') if self.local else '.trial'}"
        self.publish(trial, b"mupc", replace=True)
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
            if self.local:
                _make_folder(Path(target).parent)
                Path(source).rename(target)
                _sync(Path(target).parent)
                _sync(Path(source).parent)
            else:
                self._make_folder(target)
                self.filesystem.move(source, target)
        except (OSError, pa.ArrowException) as error:
            if self.filesystem.get_file_info(source).type == pafs.FileType.NotFound:
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

        If this clock is ahead, it may delete a temporary file that is being written: `publish`
        writes it again.

        Args:
            name: the folder.
            suffix: of files to delete beside the temporary ones.
        """
        for info in self.entries(name):
            temporary = info.base_name.startswith(".") and info.base_name.endswith(".tmp")
            left = temporary or (suffix is not None and info.base_name.endswith(suffix))
            if left and info.mtime_ns and time.time() - info.mtime_ns / 1e9 > STALE_SECONDS:
                with suppress(LedgerError):  # another user's
                    self.remove(f"{name}/{info.base_name}")

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

"""CIFAR-10 (Krizhevsky, 2009) in its binary format: per picture a label byte, then 3,072 pixels."""

import hashlib
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from pccore.data.dataset import Dataset, DatasetError, DatasetInfo
from pccore.data.files import (
    directory,
    download,
    first_existing,
    missing,
    read_unpacked,
    require_digest,
)

_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS
_CLASSES = 10
_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = "cifar-10-binary.tar.gz"


def parse_batch(content: bytes, pictures: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 3072) uint8, channel by channel, and labels (n,) int32 of one batch file.

    Args:
        content: the bytes of the file.
        pictures: n, how many it must hold.
        source: what to call the file in an error.

    Raises:
        DatasetError: another length, or a label above 9.
    """
    if len(content) != pictures * _RECORD:
        raise DatasetError(
            f"{source} is damaged: it is {len(content)} bytes long where {pictures} pictures of "
            f"{_RECORD} bytes, {pictures * _RECORD} in all, are expected"
        )
    records = np.frombuffer(content, np.uint8).reshape(pictures, _RECORD)
    labels = records[:, 0].astype(np.int32)
    if labels.max() >= _CLASSES:
        raise DatasetError(f"{source} is damaged: it has label {labels.max()} where 0 to 9 may be")
    return records[:, 1:], labels


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10 from its six batch files, or else straight from the authors' archive.

    Both are looked for in `<data directory>/cifar10/`, then in the data directory itself; batch
    files also in `cifar-10-batches-bin/` of both, which is where the archive unpacks to. The
    archive's SHA-256 is published and verified every time before it is opened; batch files have no
    published digest, and are checked by their length and labels.

    Attributes:
        batch_size: pictures per batch file.
        sha256: digest (hex) of the archive.
        mirrors: addresses of the archive.
    """

    batch_size: int = 10_000
    sha256: str = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    mirrors: tuple[str, ...] = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",)

    @property
    def info(self) -> DatasetInfo:
        return DatasetInfo(
            name="cifar10",
            description="32 x 32 colour pictures of ten kinds of things (Krizhevsky)",
            task="classification",
            input_size=_PIXELS,
            output_size=_CLASSES,
            train_size=5 * self.batch_size,
            test_size=self.batch_size,
            embedded=False,
        )

    def find(self, data_dir: Path | None) -> list[Path]:
        root = directory(data_dir)
        homes = (root / self.info.name, root)
        for folder in (*homes, *(home / _FOLDER for home in homes)):
            batches = [folder / batch for batch in _BATCHES]
            if all(batch.is_file() for batch in batches):
                return batches
        archive = first_existing([home / _ARCHIVE for home in homes])
        if archive is None:
            raise missing(self.info.name, f"{_ARCHIVE}, or its six .bin files", root)
        return [archive]

    def load(self, data_dir: Path | None) -> Dataset:
        paths = self.find(data_dir)
        contents = self._read_archive(*paths) if len(paths) == 1 else self._read_batches(paths)
        parts = [parse_batch(content, self.batch_size, source) for content, source in contents]
        # Mean and standard deviation of all training pixels / 255, one number for all channels.
        return Dataset(
            self.info.name,
            self.info.task,
            np.concatenate([x for x, _ in parts[:5]]),
            np.concatenate([y for _, y in parts[:5]]),
            np.ascontiguousarray(parts[5][0]),
            parts[5][1],
            mean=255 * 0.4734,
            std=255 * 0.2516,
        )

    def fetch(self, data_dir: Path | None) -> list[Path]:
        try:
            self.load(data_dir)
        except DatasetError:
            target = directory(data_dir) / self.info.name / _ARCHIVE
            download(self.mirrors, target, self._verify)
        return self.find(data_dir)

    def _read_batches(self, paths: list[Path]) -> Iterable[tuple[bytes, str]]:
        for path in paths:
            # One byte more than is right: a longer file is then reported with its expected length.
            yield read_unpacked(path, self.batch_size * _RECORD + 1), str(path)

    def _verify(self, archive: Path) -> None:
        with archive.open("rb") as file:
            require_digest(archive, hashlib.file_digest(file, "sha256").hexdigest(), self.sha256)

    def _read_archive(self, archive: Path) -> list[tuple[bytes, str]]:
        """The batches inside `archive`, in order, taken by name from its regular files only."""
        size = self.batch_size * _RECORD
        names = [f"{_FOLDER}/{batch}" for batch in _BATCHES]
        contents: dict[str, bytes] = {}
        try:
            self._verify(archive)
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    if member.name in names and member.isreg() and member.size == size:
                        # extractfile() is None only for what is not a regular file.
                        contents[member.name] = cast(IO[bytes], tar.extractfile(member)).read(size)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise DatasetError(f"{archive} is damaged: it cannot be unpacked ({error})") from error
        except OSError as error:
            raise DatasetError(f"{archive} cannot be read: {error.strerror or error}") from error
        for name in names:
            if name not in contents:
                raise DatasetError(f"{archive} is damaged: it holds no {name} of {size} bytes")
        return [(contents[name], f"{archive}:{name}") for name in names]

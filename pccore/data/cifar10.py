"""CIFAR-10 (Krizhevsky, 2009) in its binary format: one label byte, then 3,072 pixels a picture."""

import hashlib
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import numpy as np

from pccore.data.dataset import Dataset, DatasetError, DatasetInfo, DataSource
from pccore.data.files import (
    directory,
    download,
    first_existing,
    missing,
    open_regular,
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
    """Parse one batch file.

    Args:
        content: the bytes of the file.
        pictures: n, the expected number of pictures.
        source: name of the file in an error message.

    Returns:
        Pixels (n, 3072) uint8, channel by channel, and labels (n,) int32.

    Raises:
        DatasetError: the length is not that of `pictures` pictures, or a label is above 9.
    """
    if len(content) != pictures * _RECORD:
        raise DatasetError(
            f"{source} is damaged: it is {len(content)} bytes long, expected {pictures} pictures "
            f"of {_RECORD} bytes, {pictures * _RECORD} in all"
        )
    records = np.frombuffer(content, np.uint8).reshape(pictures, _RECORD)
    labels = records[:, 0].astype(np.int32)
    if labels.max() >= _CLASSES:
        raise DatasetError(f"{source} is damaged: it has label {labels.max()}, expected 0 to 9")
    return records[:, 1:], labels


@dataclass(frozen=True)
class Cifar10(DataSource):
    """CIFAR-10 from its six batch files or else from the authors' archive.

    The search goes through `<data directory>/cifar10/`, then the data directory itself. Batch files
    may also be in `cifar-10-batches-bin/` of both, the folder to which the archive unpacks. The
    archive has a published SHA-256, which is verified every time before it is opened. Batch files
    have no published digest; their lengths and labels are checked.

    Attributes:
        batch_size: pictures per batch file.
        sha256: digest (hex) of the archive.
        mirrors: addresses of the archive.
        info: the description; derived from `batch_size`.
    """

    batch_size: int = 10_000
    sha256: str = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    mirrors: tuple[str, ...] = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",)
    info: DatasetInfo = field(init=False)

    def __post_init__(self) -> None:
        info = DatasetInfo(
            name="cifar10",
            description="32 x 32 colour pictures of ten kinds of things (Krizhevsky)",
            task="classification",
            input_size=_PIXELS,
            output_size=_CLASSES,
            train_size=5 * self.batch_size,
            test_size=self.batch_size,
            embedded=False,
        )
        object.__setattr__(self, "info", info)

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
        # Mean and standard deviation of all training pixels / 255, over all channels.
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
            # One extra byte, so that the error for a longer file states the expected length.
            yield read_unpacked(path, self.batch_size * _RECORD + 1), str(path)

    def _verify(self, archive: Path) -> None:
        with open_regular(archive) as file:
            require_digest(archive, hashlib.file_digest(file, "sha256").hexdigest(), self.sha256)

    def _read_archive(self, archive: Path) -> list[tuple[bytes, str]]:
        """Return the batches in the archive, in order, from its regular files only."""
        size = self.batch_size * _RECORD
        names = [f"{_FOLDER}/{batch}" for batch in _BATCHES]
        contents: dict[str, bytes] = {}
        try:
            self._verify(archive)
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    if member.name in names and member.isreg() and member.size == size:
                        # extractfile() is None only for members that are not regular files.
                        contents[member.name] = cast(IO[bytes], tar.extractfile(member)).read(size)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise DatasetError(f"{archive} is damaged: it cannot be unpacked ({error})") from error
        except OSError as error:
            raise DatasetError(f"{archive} cannot be read: {error.strerror or error}") from error
        for name in names:
            if name not in contents:
                raise DatasetError(f"{archive} is damaged: it has no {name} of {size} bytes")
        return [(contents[name], f"{archive}:{name}") for name in names]

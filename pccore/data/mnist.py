"""MNIST and Fashion-MNIST: four IDX files of 28 x 28 pictures and their labels."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pccore.data.dataset import Dataset, DatasetError, DatasetInfo, DataSource
from pccore.data.files import directory, download, first_existing, missing, read_verified
from pccore.data.idx import parse_idx


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set.

    Attributes:
        name: its name when unpacked; packed files have ".gz" appended.
        size: bytes of its unpacked content.
        sha256: digest (hex) of its unpacked content, which repacking does not change.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class IdxImages(DataSource):
    """A classification data set in four IDX files, packed or not.

    The search goes through `<data directory>/<name>/`, then the data directory itself.

    Attributes:
        info: the description.
        files: training images, training labels, test images, test labels.
        mirrors: base addresses of "<file name>.gz".
        mean: mean of the training pixels (0..255).
        std: standard deviation of the training pixels (0..255).
    """

    info: DatasetInfo
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]
    mirrors: tuple[str, ...]
    mean: float
    std: float

    def find(self, data_dir: Path | None) -> list[Path]:
        root = directory(data_dir)
        return [self._find(file, root) for file in self.files]

    def load(self, data_dir: Path | None) -> Dataset:
        train_x, train_y, test_x, test_y = (
            parse_idx(read_verified(path, file.size, file.sha256), str(path))
            for file, path in zip(self.files, self.find(data_dir), strict=True)
        )
        return Dataset(
            self.info.name,
            self.info.task,
            train_x.reshape(len(train_x), -1),
            train_y.astype(np.int32),
            test_x.reshape(len(test_x), -1),
            test_y.astype(np.int32),
            self.mean,
            self.std,
        )

    def fetch(self, data_dir: Path | None) -> list[Path]:
        root = directory(data_dir)
        for file in self.files:
            if not self._is_good(file, root):
                download(
                    [f"{mirror}{file.name}.gz" for mirror in self.mirrors],
                    root / self.info.name / f"{file.name}.gz",
                    partial(read_verified, size=file.size, sha256=file.sha256),
                )
        return self.find(data_dir)

    def _find(self, file: IdxFile, root: Path) -> Path:
        path = first_existing(
            [
                folder / name
                for folder in (root / self.info.name, root)
                for name in (f"{file.name}.gz", file.name)
            ]
        )
        if path is None:
            raise missing(self.info.name, f"{file.name}[.gz]", root)
        return path

    def _is_good(self, file: IdxFile, root: Path) -> bool:
        try:
            read_verified(self._find(file, root), file.size, file.sha256)
        except DatasetError:
            return False
        return True


def _images(
    name: str,
    description: str,
    digests: tuple[str, str, str, str],
    mirrors: tuple[str, ...],
    mean: float,
    std: float,
) -> IdxImages:
    """Return a data set with the sizes of MNIST; `mean` and `std` are those of pixel / 255."""
    names_and_sizes = (
        ("train-images-idx3-ubyte", 16 + 60_000 * 784),
        ("train-labels-idx1-ubyte", 8 + 60_000),
        ("t10k-images-idx3-ubyte", 16 + 10_000 * 784),
        ("t10k-labels-idx1-ubyte", 8 + 10_000),
    )
    first, second, third, fourth = (
        IdxFile(file, size, digest)
        for (file, size), digest in zip(names_and_sizes, digests, strict=True)
    )
    return IdxImages(
        DatasetInfo(name, description, "classification", 784, 10, 60_000, 10_000, embedded=False),
        (first, second, third, fourth),
        mirrors,
        255 * mean,
        255 * std,
    )


MNIST = _images(
    "mnist",
    "28 x 28 handwritten digits (LeCun, Cortes and Burges)",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    0.1307,
    0.3081,
)

FASHION_MNIST = _images(
    "fashion_mnist",
    "28 x 28 pictures of clothes (Zalando)",
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    0.2860,
    0.3530,
)

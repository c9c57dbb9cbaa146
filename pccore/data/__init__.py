"""Data sets by name: `load(name)` reads one, `info(name)` describes it without reading a file.

`Dataset.from_arrays` makes one of arrays of the user's own.

>>> from pccore import data
>>> digits = data.load("digits")
>>> digits.train_x.shape
(1442, 64)
"""

from pathlib import Path

from pccore.data.cifar10 import Cifar10
from pccore.data.dataset import Dataset, DatasetError, DatasetInfo, DataSource
from pccore.data.digits import DIGITS
from pccore.data.exchange import generative, latent, origin
from pccore.data.files import ENVIRONMENT_VARIABLE, directory
from pccore.data.mnist import FASHION_MNIST, MNIST
from pccore.data.mnist1d import MNIST1D
from pccore.data.normalisation import Normalise
from pccore.data.toy import TOY_DOUBLE, TOY_LINEAR, TOY_MIRROR, TOY_SINE
from pccore.registry import Registry

__all__ = [
    "DATASETS",
    "ENVIRONMENT_VARIABLE",
    "DataSource",
    "Dataset",
    "DatasetError",
    "DatasetInfo",
    "Normalise",
    "directory",
    "fetch",
    "find",
    "generative",
    "info",
    "latent",
    "load",
]

DATASETS: Registry[DataSource] = Registry(
    "data set",
    {
        source.info.name: source
        for source in (
            DIGITS,
            MNIST1D,
            TOY_LINEAR,
            TOY_SINE,
            TOY_MIRROR,
            TOY_DOUBLE,
            MNIST,
            FASHION_MNIST,
            Cifar10(),
        )
    },
)
"""Data sets by name."""


def info(name: str) -> DatasetInfo:
    """Return the description of a data set, without reading a file.

    Raises:
        UnknownNameError: no data set has this name.
    """
    return DATASETS[name].info


def find(name: str, data_dir: Path | None = None) -> list[Path]:
    """Return the paths of the files that `load` reads (none for an embedded data set).

    Raises:
        UnknownNameError: no data set has this name.
        DatasetError: a file is missing.
    """
    return DATASETS[origin(name)[0]].find(data_dir)


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Read a data set from its files. Use `fetch` to download them.

    Args:
        name: a name in `DATASETS`, or that of a data set which `generative` or `latent` makes of
            one.
        data_dir: folder of its files; None means the environment variable MUPC_DATA or, without
            it, the user's cache.

    Raises:
        UnknownNameError: no data set has this name.
        DatasetError: a file is missing or damaged.
    """
    source, make = origin(name)
    return make(DATASETS[source].load(data_dir))


def fetch(name: str, data_dir: Path | None = None) -> list[Path]:
    """Download the missing or damaged files of a data set. Only verified files are put in place.

    Args:
        name: a name in `DATASETS`.
        data_dir: folder of data sets; files go to a folder in it with the name of the data set.
            None as for `load`.

    Returns:
        The paths of the files that `load` reads; none for an embedded data set.

    Raises:
        UnknownNameError: no data set has this name.
        DatasetError: no mirror delivered the data, or the folder cannot be written.
    """
    return DATASETS[name].fetch(data_dir)

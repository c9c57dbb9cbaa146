"""Data sets of other modes: labels as inputs and images as targets, or images alone.

Their names say what they are made of, "digits, generative" or "digits, 10 latents", so that they
can be loaded, described and found like the data sets that they are made of.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pccore.data.dataset import Dataset, DatasetInfo

_NAME = re.compile(r"(?P<of>.+), (?:generative|(?P<latents>[1-9][0-9]*) latents)")


def generative(dataset: Dataset) -> Dataset:
    """Exchange inputs and targets, for generative networks (thesis chapter 2, "PCN training").

    Labels become one-hot inputs (n, K) and inputs become standardised targets (n, D): a regression
    from classes to images. Inputs and targets of a regression are exchanged too.
    """
    causes = (_causes(dataset, y) for y in (dataset.train_y, dataset.test_y))
    return _onto_inputs(dataset, f"{dataset.name}, generative", *causes)


def latent(dataset: Dataset, latents: int) -> Dataset:
    """Leave only the inputs, as standardised targets (n, D), for `pccore.Unsupervised`.

    The inputs of the networks are `latents` numbers, zeros here, which inference finds.
    """
    if latents < 1:
        raise ValueError(f"latents must be at least 1, got {latents}")
    parts = (dataset.train_x, dataset.test_x)
    zeros = (np.zeros((len(part), latents), np.uint8) for part in parts)
    return _onto_inputs(dataset, f"{dataset.name}, {latents} latents", *zeros)


def generative_info(info: DatasetInfo) -> DatasetInfo:
    """Return the description of `generative` of a data set."""
    return _info_onto_inputs(info, f"{info.name}, generative", info.output_size)


def latent_info(info: DatasetInfo, latents: int) -> DatasetInfo:
    """Return the description of `latent` of a data set."""
    return _info_onto_inputs(info, f"{info.name}, {latents} latents", latents)


def origin(name: str) -> tuple[str, Callable[[Dataset], Dataset]]:
    """Return the name of what a data set is made of, and what makes it; itself if of nothing."""
    found = _NAME.fullmatch(name)
    if found is None:
        return name, lambda dataset: dataset
    latents = found["latents"]
    return found["of"], (lambda data: latent(data, int(latents))) if latents else generative


def _onto_inputs(
    dataset: Dataset, name: str, train_causes: np.ndarray, test_causes: np.ndarray
) -> Dataset:
    """Return a regression from causes to standardised inputs."""
    return replace(
        dataset,
        name=name,
        task="regression",
        train_x=train_causes,
        train_y=_standardised(dataset, dataset.train_x),
        test_x=test_causes,
        test_y=_standardised(dataset, dataset.test_x),
        mean=0.0,
        std=1.0,
        feature_mean=None,
        feature_std=None,
    )


def _info_onto_inputs(info: DatasetInfo, name: str, input_size: int) -> DatasetInfo:
    return replace(
        info, name=name, task="regression", input_size=input_size, output_size=info.input_size
    )


def _causes(dataset: Dataset, y: np.ndarray) -> np.ndarray:
    return y if y.ndim == 2 else np.eye(dataset.output_size, dtype=np.float32)[y]


def _standardised(dataset: Dataset, x: np.ndarray) -> np.ndarray:
    standard: np.ndarray = ((x - dataset.mean) / dataset.std).astype(np.float32)
    return standard

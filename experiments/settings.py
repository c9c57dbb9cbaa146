"""Building blocks of recipes: networks for a data set, runs over rates and seeds, batches."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from transfer.engine.runs import Run

if TYPE_CHECKING:
    import numpy as np

SEEDS = (0, 1, 2)
ACTIVATIONS = ("linear", "tanh", "relu")
NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
"""Names of data sets in texts."""


def stack(dataset: str, width: int, depth: int, **options: Any) -> pccore.NetworkConfig:
    """Return a fully connected network for a data set, whose files need not be available.

    Args:
        dataset: a name in `pccore.data.DATASETS`.
        width: N.
        depth: H.
        **options: further fields of `pccore.NetworkConfig`.
    """
    info = pccore.data.info(dataset)
    return pccore.NetworkConfig(info.input_size, info.output_size, width, depth, **options)


def steps_of(dataset: str, epochs: float, batch_size: int = 64) -> int:
    """Return the number of weight updates in `epochs`."""
    return int(epochs * (pccore.data.info(dataset).train_size // batch_size) + 1e-9)


def runs_of(
    dataset: str,
    variant: str,
    config: pccore.TrainingConfig,
    data_dir: Path | None,
    *,
    weight_lrs: Iterable[float] = (0.0,),
    activity_lrs: Iterable[float | None] = (None,),
    seeds: Iterable[int] = SEEDS,
    divergence_factor: float | None = None,
) -> list[Run]:
    """Return one run per pair of learning rates and seed.

    Args:
        dataset: a name in `pccore.data.DATASETS`.
        variant: label by which claims and figures find the runs.
        config: shared training configuration.
        data_dir: folder of the data sets.
        weight_lrs: values of eta.
        activity_lrs: values of beta.
        seeds: seeds of the weights and the order of the data.
        divergence_factor: replaces that of `config`. The documents end no run early, so by default
            only a loss that is NaN or infinite does.
    """
    config = replace(config, divergence_factor=divergence_factor)
    betas, numbers = tuple(activity_lrs), tuple(seeds)
    return [
        Run(dataset, digest(dataset, data_dir), variant, config, pccore.Lane(eta, beta, seed))
        for eta in weight_lrs
        for beta in betas
        for seed in numbers
    ]


@cache
def digest(dataset: str, data_dir: Path | None) -> str:
    """Return the SHA-256 of a data set, or "missing" so that costs can be estimated without it."""
    try:
        return pccore.data.load(dataset, data_dir).digest
    except pccore.data.DatasetError:
        return "missing"


def batch(
    dataset: str, data_dir: Path | None, size: int = 64, part: str = "train"
) -> "tuple[np.ndarray, np.ndarray]":
    """Return a part's first samples: standardised inputs (B, D) and targets (B, K), float64."""
    import numpy as np

    data = pccore.data.load(dataset, data_dir)
    inputs, targets = getattr(data, f"{part}_x")[:size], getattr(data, f"{part}_y")[:size]
    x = (inputs.astype(np.float64) - data.mean) / data.std
    y = np.eye(data.output_size)[targets] if targets.ndim == 1 else targets.astype(np.float64)
    return x, y

"""What most recipes are built from: networks for a data set, and runs over rates and seeds."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pccore
from transfer.engine.runs import Run

SEEDS = (0, 1, 2)


def stack(dataset: str, width: int, depth: int, **options: Any) -> pccore.NetworkConfig:
    """A fully connected network for a data set, which need not be here.

    Args:
        dataset: a name in `pccore.data.DATASETS`.
        width: N.
        depth: H.
        **options: further fields of `pccore.NetworkConfig`.
    """
    info = pccore.data.info(dataset)
    return pccore.NetworkConfig(info.input_size, info.output_size, width, depth, **options)


def steps_of(dataset: str, epochs: float, batch_size: int = 64) -> int:
    """Weight updates of so many epochs."""
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
) -> list[Run]:
    """One run per pair of learning rates and seed.

    Args:
        dataset: a name in `pccore.data.DATASETS`.
        variant: what the recipe calls it; claims and figures find the runs by it.
        config: what they share.
        data_dir: where the files of data sets are.
        weight_lrs: eta.
        activity_lrs: beta.
        seeds: of the weights and the order of the data.
    """
    betas, numbers = tuple(activity_lrs), tuple(seeds)
    return [
        Run(dataset, digest(dataset, data_dir), variant, config, pccore.Lane(eta, beta, seed))
        for eta in weight_lrs
        for beta in betas
        for seed in numbers
    ]


@cache
def digest(dataset: str, data_dir: Path | None) -> str:
    """SHA-256 of a data set, or "missing" where it is not here, so that costs can be told."""
    try:
        return pccore.data.load(dataset, data_dir).digest
    except pccore.data.DatasetError:
        return "missing"


def batch(
    dataset: str, data_dir: Path | None, size: int = 64, part: str = "train"
) -> tuple[Any, Any]:
    """The first samples of a part: standardised inputs (B, D) and targets (B, K), in float64."""
    import numpy as np

    data = pccore.data.load(dataset, data_dir)
    inputs, targets = getattr(data, f"{part}_x")[:size], getattr(data, f"{part}_y")[:size]
    x = (inputs.astype(np.float64) - data.mean) / data.std
    y = np.eye(data.output_size)[targets] if targets.ndim == 1 else targets.astype(np.float64)
    return x, y

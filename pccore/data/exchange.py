"""Generative data sets: labels as inputs, images as targets."""

from dataclasses import replace

import numpy as np

from pccore.data.dataset import Dataset


def generative(dataset: Dataset) -> Dataset:
    """Exchange inputs and targets, for generative networks (thesis chapter 2, "PCN training").

    Labels become one-hot inputs (n, K) and inputs become standardised targets (n, D): a regression
    from classes to images. Inputs and targets of a regression are exchanged too.
    """
    train_x, train_y = _exchanged(dataset, dataset.train_x, dataset.train_y)
    test_x, test_y = _exchanged(dataset, dataset.test_x, dataset.test_y)
    return replace(
        dataset,
        name=f"{dataset.name}, generative",
        task="regression",
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        mean=0.0,
        std=1.0,
    )


def _exchanged(dataset: Dataset, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    causes = y if y.ndim == 2 else np.eye(dataset.output_size, dtype=np.float32)[y]
    return causes, ((x - dataset.mean) / dataset.std).astype(np.float32)

"""Toy regressions with known solutions, bitwise the same on every machine."""

from functools import partial

import numpy as np

from pccore.data.dataset import Dataset, DatasetInfo, Embedded, every_fifth

_LINEAR = DatasetInfo(
    name="toy_linear",
    description="y = A x with a fixed random A (4, 16), no noise",
    task="regression",
    input_size=16,
    output_size=4,
    train_size=1024,
    test_size=256,
    embedded=True,
)

_SINE = DatasetInfo(
    name="toy_sine",
    description="y = sin(pi x), 640 evenly spaced x in (-1, 1), no noise",
    task="regression",
    input_size=1,
    output_size=1,
    train_size=512,
    test_size=128,
    embedded=True,
)


def _line(name: str, slope: int) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        description=f"y = {slope} x, x ~ N(1, 0.1^2), no noise (thesis A.1.1, A.1.2)",
        task="regression",
        input_size=1,
        output_size=1,
        train_size=4096,
        test_size=1024,
        embedded=True,
    )


_MIRROR, _DOUBLE = _line("toy_mirror", -1), _line("toy_double", 2)


def _on_grid(values: np.ndarray) -> np.ndarray:
    """Round to multiples of 1/256, so that sums of products are exact."""
    return np.round(values * 256) / 256


def _split(info: DatasetInfo, x: np.ndarray, y: np.ndarray) -> Dataset:
    x, y, test = x.astype(np.float32), y.astype(np.float32), every_fifth(len(x))
    return Dataset(info.name, info.task, x[~test], y[~test], x[test], y[test])


def _build_linear() -> Dataset:
    """Draw x ~ N(0, I) and A_kd ~ N(0, 1/D), so that targets have about unit variance."""
    # RandomState, not default_rng: NumPy guarantees that its stream never changes.
    random = np.random.RandomState(0)
    teacher = _on_grid(random.standard_normal((_LINEAR.output_size, _LINEAR.input_size)) / 4)
    samples = _LINEAR.train_size + _LINEAR.test_size
    x = _on_grid(random.standard_normal((samples, _LINEAR.input_size)))
    return _split(_LINEAR, x, x @ teacher.T)


def _build_sine() -> Dataset:
    samples = _SINE.train_size + _SINE.test_size
    x = (2 * np.arange(samples)[:, None] + 1) / samples - 1
    return _split(_SINE, x, np.sin(np.pi * x))


def _build_line(info: DatasetInfo, slope: int) -> Dataset:
    random = np.random.RandomState(0)
    x = _on_grid(1 + 0.1 * random.standard_normal((info.train_size + info.test_size, 1)))
    return _split(info, x, slope * x)


TOY_LINEAR = Embedded(_LINEAR, _build_linear)
TOY_SINE = Embedded(_SINE, _build_sine)
TOY_MIRROR = Embedded(_MIRROR, partial(_build_line, _MIRROR, -1))
TOY_DOUBLE = Embedded(_DOUBLE, partial(_build_line, _DOUBLE, 2))

"""Data sets of a user's own arrays: one content has one digest, and what training sees of it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.data import Dataset, DatasetError

N, D = 40, 3
X = np.random.RandomState(0).standard_normal((N, D)).astype(np.float32)
Y = np.arange(N) % 4
NAMES = ["fox", "hen", "owl", "rat"]
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "kind": Y})


class Tensor:
    """Stands for a tensor of another library: all it has is `__array__`."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._values


class Pairs:
    """Stands for a data set of torch: a length, and pairs by place."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return Tensor(X[place]), int(Y[place])


class Table:
    """Stands for a data set of Hugging Face: columns by name, which are lists or lazy."""

    column_names = ("vector", "label")

    def __len__(self) -> int:
        return N

    def __getitem__(self, name: str) -> Iterator[Any]:
        return iter({"vector": X.tolist(), "label": Y.tolist()}[name])


class Samples:
    """Stands for a data set whose samples are mappings."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"vector": X[place], "label": Y[place]}


SAME: dict[str, Callable[[], Dataset]] = {
    "float64": lambda: Dataset.from_arrays(X.astype(float), Y),
    "big-endian": lambda: Dataset.from_arrays(X.astype(">f4"), Y.astype(">i2")),
    "in Fortran's order": lambda: Dataset.from_arrays(np.asfortranarray(X), Y),
    "lists": lambda: Dataset.from_arrays(X.tolist(), Y.tolist()),
    "objects": lambda: Dataset.from_arrays(X.astype(object), Y.astype(object)),
    "an array of arrays": lambda: Dataset.from_arrays(pd.Series(list(X)), pd.Series(Y)),
    "of any shape": lambda: Dataset.from_arrays(X.reshape(N, 1, D, 1), Y.reshape(N, 1)),
    "one-hot": lambda: Dataset.from_arrays(X, np.eye(4)[Y]),
    "one-hot in whole numbers": lambda: Dataset.from_arrays(X, np.eye(4, dtype=int)[Y]),
    "names of classes": lambda: Dataset.from_arrays(X, [NAMES[label] for label in Y]),
    "categories": lambda: Dataset.from_arrays(X, pd.Categorical.from_codes(Y, NAMES)),
    "a frame": lambda: Dataset.from_arrays(FRAME, "kind"),
    "a frame and a series": lambda: Dataset.from_arrays(FRAME[["a", "b", "c"]], FRAME["kind"]),
    "a mapping": lambda: Dataset.from_arrays({"v": X, "kind": Y}, "kind"),
    "tensors": lambda: Dataset.from_arrays(Tensor(X), Tensor(Y)),
    "a list of tensors": lambda: Dataset.from_arrays([Tensor(x) for x in X], Y),
    "pairs": lambda: Dataset.from_arrays(Pairs()),
    "a list of pairs": lambda: Dataset.from_arrays(list(zip(X, Y, strict=True))),
    "columns": lambda: Dataset.from_arrays(Table(), "label"),
    "mappings": lambda: Dataset.from_arrays(Samples(), "label"),
}


@pytest.mark.parametrize("form", SAME)
def test_equal_content_is_one_data_set(form: str) -> None:
    ours, theirs = SAME[form](), Dataset.from_arrays(X, Y)
    assert (ours.digest, ours.name) == (theirs.digest, theirs.name)
    assert ours.name == f"data-{ours.digest[:12]}"


DIFFERENT: dict[str, Callable[[], Dataset]] = {
    "another number": lambda: Dataset.from_arrays(np.where(X[7, 1] == X, 0, X), Y),
    "another label": lambda: Dataset.from_arrays(X, np.where(np.arange(N) == 7, 0, Y)),
    "another split": lambda: Dataset.from_arrays(X, Y, seed=1),
    "another share": lambda: Dataset.from_arrays(X, Y, test=0.3),
    "another normalisation": lambda: Dataset.from_arrays(X, Y, normalise=None),
}


@pytest.mark.parametrize("change", DIFFERENT)
def test_other_content_is_another_data_set(change: str) -> None:
    assert DIFFERENT[change]().digest != Dataset.from_arrays(X, Y).digest


def test_features_are_standardised_by_the_training_set() -> None:
    data = Dataset.from_arrays(X * [1, 1000, 0.001] + [5, -7, 0], Y)
    np.testing.assert_allclose(data.train_x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train_x.std(axis=0), 1, atol=1e-6)
    assert (data.mean, data.std) == (0.0, 1.0)


def test_new_samples_are_stored_like_the_data_set() -> None:
    x = X * [1, 1000, 0.001] + [5, -7, 0]
    given = {"x_test": x[:9], "y_test": Y[:9]}
    for normalise in ("per feature", "global", None):
        data = Dataset.from_arrays(x, Y, normalise=normalise, **given)  # type: ignore[arg-type]
        np.testing.assert_array_equal(data.stored(x[:9].reshape(9, 1, D)), data.test_x)
    with pytest.raises(DatasetError, match=f"x has 2 inputs per sample, {data.name} 3"):
        data.stored(x[:, :2])


def test_feature_that_is_constant_in_training_becomes_zero() -> None:
    data = Dataset.from_arrays(np.column_stack([X, np.full(N, 1 / 3)]), Y)
    assert (data.train_x[:, 3] == 0).all()


def test_pixels_keep_a_byte_and_are_standardised_on_the_device() -> None:
    pixels = np.random.RandomState(1).randint(0, 256, (N, 4, 4))
    data = Dataset.from_arrays(pixels.astype(float), Y, normalise="global")
    assert data.train_x.dtype == data.test_x.dtype == np.uint8
    assert data.mean == pytest.approx(data.train_x.mean(), rel=1e-12)
    assert data.std == pytest.approx(data.train_x.std(), rel=1e-12)
    assert (data.input_size, data.description) == (16, "(4, 4)")
    assert data.digest == Dataset.from_arrays(pixels.astype(np.int16), Y, normalise="global").digest


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("share", [0.2, 0.33])
def test_every_class_is_split_by_the_share(share: float, seed: int) -> None:
    counts = (3, 50, 17, 30)
    y = np.repeat(np.arange(4), counts)
    x = np.arange(len(y))[:, None] * 1.5  # so that a sample is known by its input
    data = Dataset.from_arrays(x, y, test=share, seed=seed, normalise=None)
    assert np.bincount(data.test_y).tolist() == [round(share * count) for count in counts]
    together = np.concatenate([data.train_x, data.test_x])
    assert sorted(together.ravel()) == x.ravel().tolist()
    labels = np.concatenate([data.train_y, data.test_y])
    assert (y[(together.ravel() / 1.5).astype(int)] == labels).all()
    first = data.train_y[:16]  # on which curvature is measured
    assert len(set(first.tolist())) > 1


def test_test_set_of_the_user_keeps_all_in_order() -> None:
    data = Dataset.from_arrays(X, Y, x_test=X[:4], y_test=Y[:4], normalise=None)
    np.testing.assert_array_equal(data.train_x, X)
    np.testing.assert_array_equal(data.train_y, Y)
    np.testing.assert_array_equal(data.test_x, X[:4])
    named = Dataset.from_arrays(FRAME, "kind", x_test=FRAME[["kind", "c", "b", "a"]][:4])
    assert named.digest == Dataset.from_arrays(X, Y, x_test=X[:4], y_test=Y[:4]).digest


def test_names_of_classes_are_numbered_over_both_sets() -> None:
    named = [NAMES[label] for label in Y]
    data = Dataset.from_arrays(X, named, x_test=X[:2], y_test=["rat", "fox"])
    assert data.test_y.tolist() == [3, 0]
    assert "classes fox, hen, owl, rat" in data.description


def test_real_targets_are_a_regression() -> None:
    y = X[:, :2] * 2.0
    data = Dataset.from_arrays(X, y, normalise=None)
    assert (data.task, data.output_size, data.train_y.dtype) == ("regression", 2, np.float32)
    np.testing.assert_array_equal(data.train_y, data.train_x[:, :2] * 2)
    told = Dataset.from_arrays(X, y[:, 0].tolist(), task="regression")
    assert (told.task, told.output_size) == ("regression", 1)
    columns = Dataset.from_arrays(FRAME.assign(d=y[:, 0], e=y[:, 1]), ["d", "e"])
    assert columns.digest == Dataset.from_arrays(np.column_stack([X, Y]), y).digest


def test_numbers_that_float32_rounds_are_said() -> None:
    exact, rounded = X.astype(float), X.astype(float) + 1e-12
    assert Dataset.from_arrays(exact, Y).description == "arrays"
    assert "float64 rounded to float32" in Dataset.from_arrays(rounded, Y).description
    assert "int64 rounded" in Dataset.from_arrays((rounded * 1e9).astype(int), Y).description


def test_content_does_not_change_with_the_arrays_of_the_user() -> None:
    x, y = X.copy(), Y.copy()
    data = Dataset.from_arrays(x, y, x_test=x, y_test=y, normalise=None)
    x[:], y[:] = 0, 0
    assert data.digest == Dataset.from_arrays(X, Y, x_test=X, y_test=Y, normalise=None).digest
    with pytest.raises(ValueError, match="read-only"):
        data.train_x[0] = 1


@given(
    scale=st.sampled_from([1, 100, 1e6]),
    seed=st.integers(0, 5),
    normalise=st.sampled_from(["per feature", "global", (2.0, 3.0), None]),
    whole=st.booleans(),
)
def test_stored_arrays_are_the_same_data_set_again(
    scale: float, seed: int, normalise: Any, whole: bool
) -> None:
    """This is how a job carries them to a cluster."""
    x = np.round(np.abs(X) * scale) if whole else X * scale
    data = Dataset.from_arrays(x, Y, seed=seed, normalise=normalise)
    again = Dataset.from_arrays(
        data.train_x,
        data.train_y,
        x_test=data.test_x,
        y_test=data.test_y,
        normalise=(data.mean, data.std),
    )
    assert again.digest == data.digest


def test_trains_like_any_data_set() -> None:
    digits = pccore.data.load("digits")
    own = Dataset.from_arrays(
        digits.train_x.reshape(-1, 8, 8),
        digits.train_y,
        x_test=digits.test_x,
        y_test=digits.test_y,
        normalise=(digits.mean, digits.std),
    )
    network = pccore.NetworkConfig(64, 10, width=8, depth=2)
    rule = pccore.PredictiveCoding(pccore.GradientDescent(steps=2))
    config = pccore.TrainingConfig(network, rule, batch_size=32, steps=4, eval_every=2)
    ours, theirs = (pccore.fit(config, d, pccore.Lane(0.01, 0.5, 0)) for d in (own, digits))
    np.testing.assert_array_equal(ours.curve.train_loss, theirs.curve.train_loss)


def lists(*lengths: int) -> list[list[float]]:
    return [[1.0] * length for length in lengths]


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "ragged lists": (lambda: Dataset.from_arrays(lists(2, 3), [0, 1]), "x has samples of diff"),
    "None": (lambda: Dataset.from_arrays([[1.0], [None]], [0, 1]), "x has no value in sample 1"),
    "pandas.NA": (
        lambda: Dataset.from_arrays(X[:2], pd.array([1, None], dtype="Int64")),
        "y has no finite number .* in sample 1",
    ),
    "numbers and text": (lambda: Dataset.from_arrays(X[:2], [0, "a"]), "y must have .* only, got"),
    "objects": (lambda: Dataset.from_arrays([object()] * 2, [0, 1]), "got a object in sample 0"),
    "a number": (lambda: Dataset.from_arrays(3.0, [0, 1]), r"must have samples \(n, ...\)"),
    "no targets": (lambda: Dataset.from_arrays(X), "give the targets as an array"),
    "a frame without a target": (lambda: Dataset.from_arrays(FRAME), "a, b, c, kind: say which"),
    "an unknown column": (lambda: Dataset.from_arrays(FRAME, "knid"), "did you mean 'kind'"),
    "a column of text": (
        lambda: Dataset.from_arrays(FRAME.assign(c="x"), "kind"),
        "column 'c' must have a number per sample, got text",
    ),
    "a column twice": (
        lambda: Dataset.from_arrays(FRAME.rename(columns={"b": "a"}), "kind"),
        "two columns have the name 'a'",
    ),
    "columns without names": (
        lambda: Dataset.from_arrays(pd.DataFrame(X), "0"),
        "columns must have names in text, got 0",
    ),
    "triples": (lambda: Dataset.from_arrays([(1, 2, 3)]), "pairs .* got a tuple as sample 0"),
    "an empty list": (lambda: Dataset.from_arrays([]), "x has no samples"),
    "y_test alone": (lambda: Dataset.from_arrays(X, Y, y_test=Y), "left out without x_test"),
    "a share and a test set": (
        lambda: Dataset.from_arrays(X, Y, x_test=X, y_test=Y, test=0.1),
        "test must be left out beside x_test, got 0.1",
    ),
    "share of 1": (lambda: Dataset.from_arrays(X, Y, test=1.0), "between 0 and 1, got 1.0"),
    "a negative seed": (lambda: Dataset.from_arrays(X, Y, seed=-1), "seed must be .*, got -1"),
    "std 0": (lambda: Dataset.from_arrays(X, Y, normalise=(0.0, 0.0)), "positive std"),
    "a name that is a path": (lambda: Dataset.from_arrays(X, Y, name="a/b"), "got 'a/b'"),
    "a name that is too long": (lambda: Dataset.from_arrays(X, Y, name="a" * 65), "64 letters"),
    "words as targets": (
        lambda: Dataset.from_arrays(X, [NAMES[k] for k in Y], task="regression"),
        "y of a regression must be numbers",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_one_sentence(case: str) -> None:
    make, sentence = BAD[case]
    with pytest.raises(DatasetError, match=sentence) as error:
        make()
    assert len(str(error.value).splitlines()) == 1

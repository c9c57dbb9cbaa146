"""The registry of data sets, the embedded data sets, and the checks of a Dataset."""

import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pccore import data
from pccore.data import Dataset, DatasetError
from pccore.registry import UnknownNameError

EMBEDDED = [name for name in data.DATASETS if data.info(name).embedded]


def test_registered_data_sets() -> None:
    assert set(data.DATASETS) >= {"digits", "mnist1d", "mnist", "fashion_mnist", "cifar10"}
    assert set(EMBEDDED) == {
        "digits", "mnist1d", "toy_linear", "toy_sine", "toy_mirror", "toy_double",
    }  # fmt: skip


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_set_matches_its_info(name: str, tmp_path: Path) -> None:
    info, loaded = data.info(name), data.load(name, tmp_path)
    assert info.name == loaded.name == name
    assert loaded.task == info.task
    assert loaded.train_x.shape == (info.train_size, info.input_size)
    assert loaded.test_x.shape == (info.test_size, info.input_size)
    assert (loaded.input_size, loaded.output_size) == (info.input_size, info.output_size)
    assert data.find(name, tmp_path) == data.fetch(name, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@cache
def loaded_once(name: str) -> data.Dataset:
    return data.load(name)


@pytest.mark.parametrize("name", ["digits", "mnist1d"])
def test_embedded_inputs_are_standardised(name: str) -> None:
    loaded = loaded_once(name)
    seen = (loaded.train_x.astype(np.float64) - loaded.mean) / loaded.std
    assert abs(seen.mean()) < 0.01
    assert abs(seen.std() - 1) < 0.01


@pytest.mark.parametrize("name", EMBEDDED)
def test_digest_is_reproducible(name: str) -> None:
    assert data.load(name).digest == loaded_once(name).digest


def test_digits_are_split_within_each_class() -> None:
    digits = data.load("digits")
    train, test = np.bincount(digits.train_y), np.bincount(digits.test_y)
    # Class sizes of the 1,797 digits from scikit-learn's user guide and UCI.
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert test.tolist() == ((train + test) // 5).tolist()
    assert (digits.train_x.min(), digits.train_x.max()) == (0, 16)


def test_digits_are_those_of_scikit_learn() -> None:
    digits = data.load("digits")
    x, y = load_digits(return_X_y=True)
    inputs = np.concatenate([digits.train_x, digits.test_x])
    labels = np.concatenate([digits.train_y, digits.test_y])
    ours, theirs = np.column_stack([inputs, labels]), np.column_stack([x, y])
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_loading_digits_imports_no_scikit_learn() -> None:
    script = (
        "import sys; from pccore import data; data.load('digits'); print('sklearn' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("False", 0), result.stderr


def test_mnist1d_restores_the_global_generators() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = (random.random(), np.random.random())
    random.seed(1)
    np.random.seed(1)
    data.load("mnist1d")
    assert (random.random(), np.random.random()) == expected


def test_toy_linear_is_exactly_linear() -> None:
    toy = data.load("toy_linear")
    solution, *_ = np.linalg.lstsq(
        toy.train_x.astype(np.float64), toy.train_y.astype(np.float64), rcond=None
    )
    np.testing.assert_allclose(toy.test_x @ solution, toy.test_y, atol=1e-12)
    # Products of multiples of 1/256 are exact.
    assert (toy.train_y * 2**16 == np.round(toy.train_y * 2**16)).all()


@pytest.mark.parametrize(("name", "slope"), [("toy_mirror", -1), ("toy_double", 2)])
def test_toy_line_slope_and_input_moments(name: str, slope: int) -> None:
    toy = data.load(name)
    np.testing.assert_array_equal(toy.train_y, slope * toy.train_x)
    np.testing.assert_array_equal(toy.test_y, slope * toy.test_x)
    sampling = 0.1 / len(toy.train_x) ** 0.5
    assert abs(toy.train_x.mean() - 1) < 4 * sampling
    assert abs(toy.train_x.std() - 0.1) < 4 * sampling


def test_toy_sine_is_a_sine_over_one_period() -> None:
    toy = data.load("toy_sine")
    np.testing.assert_allclose(
        toy.train_y, np.sin(np.pi * toy.train_x.astype(np.float64)), atol=1e-6
    )
    assert len(np.intersect1d(toy.train_x, toy.test_x)) == 0


def test_unknown_name_error_suggests_the_nearest() -> None:
    for function in (data.load, data.info, data.find, data.fetch):
        with pytest.raises(UnknownNameError, match=r"'minst': choose from .* did you mean 'mnist'"):
            function("minst")


def test_info_reads_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUPC_DATA", str(tmp_path / "absent"))
    sizes = {name: data.info(name).train_size for name in data.DATASETS}
    assert sizes["mnist"] == sizes["fashion_mnist"] == 60_000
    assert sizes["cifar10"] == 50_000


def test_directory_precedence_argument_variable_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUPC_DATA", "from_variable")
    assert data.directory("given") == tmp_path / "given"
    assert data.directory() == tmp_path / "from_variable"
    monkeypatch.delenv("MUPC_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data.directory() == tmp_path / "cache" / "mupc"


def test_info_imports_no_loading_dependencies() -> None:
    script = (
        "import sys; from pccore import data; [data.info(n) for n in data.DATASETS]; "
        "print([m for m in ('sklearn', 'mnist1d', 'pooch', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr


X, LABELS = np.zeros((4, 3), np.float32), np.array([0, 1, 2, 1], np.int32)
TARGETS = np.zeros((4, 2), np.float32)

INCONSISTENT = {
    "float64 inputs": ({"train_x": X.astype(np.float64)}, "train_x must be uint8 or float32"),
    "pictures": ({"test_x": np.zeros((4, 2, 2), np.uint8)}, r"test_x must be .* \(4, 2, 2\)"),
    "no samples": ({"train_x": X[:0], "train_y": LABELS[:0]}, "train_x must be"),
    "float labels": ({"train_y": LABELS.astype(np.float32)}, "train_y must be int32"),
    "too few labels": ({"test_y": LABELS[:3]}, r"test_y must be .* n = 4"),
    "negative label": ({"train_y": LABELS - 1}, "labels from 0, got -1"),
    "one-hot labels": ({"train_y": TARGETS}, "train_y must be int32"),
    "other input size": ({"test_x": X[:, :2]}, "test samples have 2 numbers, training samples 3"),
    "labels for a regression": ({"task": "regression"}, "train_y must be float32"),
    "other targets": (
        {"task": "regression", "train_y": TARGETS, "test_y": TARGETS[:, :1]},
        "test targets",
    ),
    "zero std": ({"std": 0.0}, "std positive"),
    "nan mean": ({"mean": float("nan")}, "must be finite"),
}


@pytest.mark.parametrize(("change", "cause"), INCONSISTENT.values(), ids=INCONSISTENT.keys())
def test_rejects_inconsistent_data_set(change: dict, cause: str) -> None:
    good = {"train_x": X, "train_y": LABELS, "test_x": X, "test_y": LABELS}
    with pytest.raises(DatasetError, match=cause):
        Dataset(**({"name": "mine", "task": "classification"} | good | change))


def test_digest_covers_all_training_inputs() -> None:
    base = {"train_x": X, "train_y": LABELS, "test_x": X, "test_y": LABELS}
    changes = (
        {},
        {"train_x": X + 1},
        {"train_x": X.astype(np.uint8)},
        {"train_y": LABELS[::-1]},
        {"test_x": X + 1},
        {"test_x": X[:3], "test_y": LABELS[:3]},
        {"test_y": LABELS[::-1]},
        {"mean": 0.5},
        {"std": 2.0},
    )
    digests = {Dataset("mine", "classification", **(base | change)).digest for change in changes}
    assert len(digests) == len(changes)
    renamed = Dataset("yours", "classification", **base)
    assert renamed.digest in digests

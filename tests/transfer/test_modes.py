"""Generative and unsupervised sweeps: what they train on, their losses, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transfer_fakes import TrainingPool, spec

import pccore
import transfer
from pccore.data.exchange import origin
from transfer import Experiment, SpecError
from transfer.engine.plan import Plan

DIGITS = pccore.data.load("digits")
UNSUPERVISED = {"name": "unsupervised", "latents": 4}


def experiment(**changes: Any) -> Experiment:
    """Return a valid spec with these changes, after checking that it round-trips."""
    values = spec(**changes)
    values["tune"] = {k: v for k, v in values["tune"].items() if v is not None}
    read = Experiment.from_dict(values)
    assert Experiment.from_yaml(read.to_yaml()) == read
    return read


@pytest.mark.parametrize(
    ("mode", "name", "sizes"),
    [("generative", "digits, generative", (10, 64)), (UNSUPERVISED, "digits, 4 latents", (4, 64))],
)
@pytest.mark.parametrize("dataset", ["digits", "toy_sine"])
def test_descriptions_are_those_of_the_data(
    mode: Any, name: str, sizes: tuple[int, int], dataset: str
) -> None:
    """Also of regressions: what a plan says without reading is what workers load by the name."""
    read = experiment(mode=mode, dataset=dataset)
    data = pccore.data.load(read.data.name)
    facts = ("name", "task", "input_size", "output_size", "train_size", "test_size")
    for fact in facts:
        assert getattr(read.data, fact) == getattr(data.info, fact)
    if dataset == "digits":
        assert (read.data.name, read.data.input_size, read.data.output_size) == (name, *sizes)
    assert origin(read.data.name)[0] == dataset


def test_discriminative_sweeps_are_as_they_were() -> None:
    job = Plan.of(experiment())
    assert (job.data, job.digest) == (pccore.data.info("digits"), DIGITS.digest)


def test_own_data_are_changed_like_registered_ones() -> None:
    own = pccore.data.Dataset.from_arrays(
        DIGITS.train_x,
        DIGITS.train_y,
        x_test=DIGITS.test_x,
        y_test=DIGITS.test_y,
        normalise=(DIGITS.mean, DIGITS.std),
    )
    read = Experiment.from_dict(spec(mode="generative", dataset=own))
    made = read.own_data
    assert made is not None
    assert made.name == f"{own.name}, generative"
    expected = pccore.data.load("digits, generative")
    np.testing.assert_allclose(made.train_y, expected.train_y, atol=1e-5)
    assert read.data.input_size == made.input_size == 10


SHORT: dict[str, Any] = {
    "network": {"activation": "linear", "bias": True},
    "tune": {"width": 16, "depth": 1, "weight_lr": [0.02], "activity_lr": [8], "seeds": 1},
    "transfer": {"depths": [2], "neighbourhood": 0},
}


def test_a_generative_sweep_learns_the_mean_image_of_each_class(tmp_path: Path) -> None:
    """The best that any function of the label can do: half the variance within the classes."""
    ledger = transfer.open(tmp_path, create=True)
    training = {"steps": 150, "eval_every": 150, "inference": {"steps": 4}}
    read = experiment(mode="generative", training=training, variants=["mupc", "bp"], **SHORT)
    result = transfer.run(read, ledger, TrainingPool())
    data = pccore.data.load("digits, generative")
    labels = DIGITS.train_y
    means = np.stack([data.train_y[labels == k].mean(axis=0) for k in range(10)])
    least = 0.5 * np.mean(np.sum((data.test_y - means[DIGITS.test_y]) ** 2, axis=1))
    chance = 0.5 * np.var(data.train_y, axis=0).sum()
    rows = ledger.runs()
    assert set(rows["dataset"]) == {"digits, generative"}
    assert (rows["test_loss"] > 0.98 * least).all()
    assert (rows["test_loss"] < 0.5 * (least + chance)).all()
    assert len(result.verdicts) == 2
    row = rows[rows["outcome"] == "trained"].iloc[0]
    for given in ({}, {"data": DIGITS}, {"data": data}):
        rebuilt = ledger.rebuild(row["run_id"], **given)
        assert rebuilt.data.digest == row["dataset_digest"]
    assert pccore.fit(*rebuilt).final_train_loss == row["final_train_loss"]


def test_an_unsupervised_sweep_reports_errors_of_reconstruction(tmp_path: Path) -> None:
    """Of test images too: those of latents inferred by `complete` with the run's rate."""
    ledger = transfer.open(tmp_path, create=True)
    inference = {"scheme": "gradient_descent", "steps": 20}
    training = {"steps": 100, "eval_every": 100, "inference": inference}
    read = experiment(mode=UNSUPERVISED, training=training, **SHORT)
    transfer.run(read, ledger, TrainingPool())
    rows = ledger.runs()
    assert set(rows["rule"]) == {"unsupervised"}
    row = rows[rows["outcome"] == "trained"].sort_values("final_train_loss").iloc[0]
    rebuilt = ledger.rebuild(row["run_id"])
    network = pccore.train(*rebuilt).network
    images = rebuilt.data.test_y
    beta = row["activity_lr"] * len(images) / row["batch_size"]
    found = pccore.complete(network, {-1: images}, pccore.GradientDescent(20), beta)
    wrong = np.asarray(network.predict(found.activities[0])) - images
    assert row["test_loss"] == pytest.approx(0.5 * np.mean(np.sum(wrong**2, axis=1)), rel=1e-4)
    pixels = rebuilt.data.train_y - rebuilt.data.train_y.mean(axis=0)
    spectrum = np.linalg.svd(pixels, compute_uv=False) ** 2 / (2 * len(pixels))
    assert 0.9 * spectrum[4:].sum() < row["final_train_loss"] < 0.95 * spectrum.sum()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": "unsupervised"}, "mode.latents is missing: unsupervised has the options latents"),
        ({"mode": "generativ"}, "mode.name is an unknown mode 'generativ': choose from "
         "discriminative, generative, unsupervised; did you mean 'generative'?"),
        ({"mode": UNSUPERVISED, "variants": ["bp"], "tune": {"activity_lr": None}},
         "bp cannot be trained: mode unsupervised infers the input of one network by predictive "
         "coding: choose from mupc, sp, sp_gaussian, ntp, orthogonal, and pc for layers of your "
         "own"),
        ({"mode": UNSUPERVISED, "variants": ["hybrid"]}, "hybrid cannot be trained: mode"),
        ({"mode": UNSUPERVISED, "tune": {"activity_lr": "spectral"}},
         "mode unsupervised needs a list or a range of activity_lr, got spectral"),
        ({"mode": UNSUPERVISED, "training": {"start": "normal"}}, "leave out training.start"),
        ({"mode": UNSUPERVISED, "training": {"probes": ["gradient_cosine"]}},
         "leave out training.probes"),
        ({"mode": "generative", "network": {"output": "cross_entropy"}},
         "network.output must be 'mse' for digits, generative, which is a regression"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_mode_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        experiment(**changes)
    assert sentence in str(caught.value)
    assert len(caught.value.sentences) == 1

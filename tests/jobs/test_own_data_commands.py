"""Data of a user's own on the command line: shown, planned, swept, continued, sent to a cluster."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import mupc, write_spec

import mupc as mupc_package
import transfer
from jobs import SubmissionError
from jobs.cluster import own_data
from jobs.cluster.submit import prepare
from pccore.data import Dataset
from transfer.engine.plan import Plan

X = np.random.RandomState(0).standard_normal((150, 4))
Y = np.arange(150) % 3
NAMES = [f"p{number}" for number in range(4)]
# As in docs/data.md, whose test then has these programs compiled.
SMALL: dict[str, Any] = {
    "variants": ["mupc"],
    "training": {"epochs": 4, "batch_size": 32},
    "tune": {"width": 8, "depth": 2, "weight_lr": [0.1, 0.03], "activity_lr": [10], "seeds": 1},
    "transfer": {"depths": [3]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table and a spec that names it."""
    with (tmp_path / "my.csv").open("w", newline="") as file:
        rows = ([*x, f"k{y}"] for x, y in zip(X.tolist(), Y, strict=True))
        csv.writer(file).writerows([[*NAMES, "kind"], *rows])
    write_spec(tmp_path, **SMALL, dataset={"file": "my.csv", "target": "kind"})
    return tmp_path


def run_ids(experiment: transfer.Experiment) -> list[str]:
    plan = Plan.of(experiment)
    (arm,) = plan.arms
    return [run.run_id for run in plan.runs(arm, experiment.tune.shape, arm.space.cells)]


def test_table_is_swept_and_continued_with_arrays(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    done = mupc(folder, "run", "spec.yaml")
    assert done.returncode == 0, done.stderr
    name = Dataset.from_arrays(X, Y).name
    assert name in (folder / "report" / "tiny" / "index.html").read_text()
    ledger = mupc_package.open(folder / "runs")
    before = ledger.runs()
    assert set(before["dataset"]) == {name}
    experiment = mupc_package.load(folder / "spec.yaml", dataset=Dataset.from_arrays(X, Y))
    with mupc_package.LocalPool(1) as pool:
        result = mupc_package.run(experiment, ledger, pool)
    assert len(result.verdicts) == 1
    assert ledger.runs().equals(before)
    (folder / "my.csv").rename(folder / "renamed.csv")
    write_spec(folder, **SMALL, dataset={"file": "renamed.csv", "target": "kind"})
    request.getfixturevalue("empty_reports")
    again = mupc(folder, "run", "spec.yaml")
    assert "0 of them trained now" in again.stdout
    assert mupc(folder, "check").returncode == 0


def test_limit_of_streaming_that_is_no_number_is_refused(folder: Path) -> None:
    done = mupc(folder, "run", "spec.yaml", MUPC_STREAM_ABOVE_MB="much")
    assert done.returncode == 2
    assert "MUPC_STREAM_ABOVE_MB must be a number of MB, got 'much'" in done.stderr


def test_plan_knows_a_file(folder: Path) -> None:
    done = mupc(folder, "plan", "spec.yaml", "--no-calibrate", "--json")
    assert done.returncode == 0, done.stderr
    assert [shape["depth"] for shape in json.loads(done.stdout)["shapes"]] == [2, 3]


def test_datasets_shows_what_a_file_has(folder: Path) -> None:
    done = mupc(folder, "datasets", "my.csv", "--target", "kind", "--test", "0.5", "--json")
    facts = json.loads(done.stdout)
    data = Dataset.from_arrays(X, Y, test=0.5)
    assert facts["digest"] == data.digest
    assert (facts["train_size"], facts["test_size"]) == (75, 75)
    assert facts["class_sizes"] == [25] * 3
    section = facts["spec"]["dataset"]
    assert section == {"file": "my.csv", "target": "kind", "test": 0.5}
    write_spec(folder, **SMALL, dataset=section)
    assert transfer.load(folder / "spec.yaml").data.name == facts["name"]
    shown = mupc(folder, "datasets", "my.csv", "--target", "kind").stdout
    assert "40, 40, 40 training samples" in shown
    assert '{"dataset": {"file": "my.csv", "target": "kind"}}' in shown


def test_datasets_shows_a_regression(folder: Path) -> None:
    targets = [word for name in ("p0", "p1") for word in ("--target", name)]
    columns = [word for name in ("p2", "p3") for word in ("--column", name)]
    done = mupc(folder, "datasets", "my.csv", *targets, *columns, "--json")
    facts = json.loads(done.stdout)
    assert (facts["task"], facts["output_size"], facts["class_sizes"]) == ("regression", 2, None)
    assert "class_sizes" not in mupc(folder, "datasets", "my.csv", *targets, *columns).stdout


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["my.csv"], "target is missing: name the column of the targets, of p0"),
        (["my.csv", "--target", "knd"], "no column 'knd'"),
        (["a", "b", "c"], "give one file, or one of inputs and one of targets: 3"),
        (["my.csv", "--target", "kind", "--task", "ranking"], "'ranking'"),
    ],
)
def test_datasets_refuses_in_one_sentence(
    arguments: list[str], fragment: str, folder: Path
) -> None:
    done = mupc(folder, "datasets", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert fragment in done.stderr


def arrive(files: dict[str, bytes], folder: Path) -> transfer.Experiment:
    """Return the experiment that a job reads in its folder on a cluster."""
    folder.mkdir()
    for name in ("spec.yaml", own_data.NAME):
        (folder / name).write_bytes(files[name])
    return transfer.load(folder / "spec.yaml")


@pytest.mark.parametrize("normalise", ["per feature", "global"])
@pytest.mark.parametrize("whole", [False, True])
def test_job_carries_the_data_with_the_same_run_ids(
    folder: Path, normalise: str, whole: bool
) -> None:
    x = np.abs(np.round(X * 10)) if whole else X
    data = Dataset.from_arrays(x, Y, normalise=normalise, name="mine")  # type: ignore[arg-type]
    experiment = transfer.load(folder / "spec.yaml", dataset=data)
    job = prepare(experiment)
    assert run_ids(arrive(dict(job.files), folder / "there")) == run_ids(experiment)
    assert job.shared == ()


def test_job_carries_a_table_as_arrays(folder: Path) -> None:
    job = prepare(folder / "spec.yaml")
    assert "my.csv" not in job.files
    there = arrive(dict(job.files), folder / "there")
    assert run_ids(there) == run_ids(transfer.load(folder / "spec.yaml"))


def test_file_that_is_too_large_to_be_sent_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_data, "MOST_BYTES", 1000)
    job = prepare(folder / "spec.yaml")
    assert job.shared == (str(folder / "my.csv"),)
    assert own_data.NAME not in job.files
    assert f"file: {folder / 'my.csv'}" in job.files["spec.yaml"].decode()
    dry = mupc(folder, "submit", "spec.yaml", "--dry-run")
    assert f"not sent: {folder / 'my.csv'}, which the head node must have" in dry.stdout
    experiment = transfer.load(folder / "spec.yaml", dataset=Dataset.from_arrays(X, Y))
    with pytest.raises(SubmissionError, match=r"larger than the .* MB that are sent with a job"):
        prepare(experiment)


def test_packed_data_depend_on_the_content_alone(folder: Path) -> None:
    first, second = (prepare(folder / "spec.yaml").files[own_data.NAME] for _ in range(2))
    assert first == second
    assert set(np.load(io.BytesIO(first))) == {"x", "y", "x_test", "y_test"}

"""Exports of a ledger to other tools, each read back by the tool itself."""

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pandas as pd
import pytest
from command import called, mupc, start, write_spec
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

import results
from jobs.bridges.optuna_storage import OptunaStorage
from jobs.bridges.places import only_writer
from jobs.bridges.source import Source
from jobs.errors import CommandError
from results import Ledger

FORMULA = "=HYPERLINK(1)"
DASHBOARD_SECONDS = 120.0


@pytest.fixture(autouse=True)
def nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files and databases are not synchronised: a new database takes hundreds of transactions."""

    def hurry(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    monkeypatch.setattr(os, "fsync", lambda _: None)
    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture(scope="module")
def place(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger `runs`: that of the tiny experiment, and one run that failed there as
    part of another experiment."""
    place = tmp_path_factory.mktemp("bridges")
    shutil.copytree(home / "runs", place / "runs")
    ledger = results.open(place / "runs")
    ledger.append([failed(ledger)])
    return place


def rows(ledger: Ledger, **filters: object) -> list[dict[str, Any]]:
    frame = ledger.runs(arrow=True, **filters)
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def failed(ledger: Ledger, experiment: str = "other") -> dict[str, Any]:
    """Return the row of a run as if it had failed."""
    row = rows(ledger, experiment="tiny")[0]
    lost = ("final_train_loss", "test_loss", "test_accuracy", "min_train_loss", "group")
    learned = ("layers_learned", *(f"change_quarter_{part}" for part in range(1, 5)))
    return {
        **row,
        **dict.fromkeys((*lost, *learned)),
        "experiment": experiment,
        "outcome": "failed",
        "cause": FORMULA,
    }


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    done = called(capsys, "export", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# Optuna


def storage(path: Path) -> optuna.storages.BaseStorage:
    if path.suffix == ".db":
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def trials(path: Path, experiment: str = "tiny") -> dict[str, list[optuna.trial.FrozenTrial]]:
    """Return the trials of an experiment by run id."""
    found: dict[str, list[optuna.trial.FrozenTrial]] = {}
    opened = storage(path)
    for name in optuna.get_all_study_names(opened):
        if name.startswith(f"{experiment}: "):
            for trial in optuna.load_study(study_name=name, storage=opened).trials:
                found.setdefault(trial.user_attrs["run_id"], []).append(trial)
    return found


def test_optuna_reads_every_run_once(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = results.open(place / "runs")
    path = tmp_path / "optuna.log"
    arguments = ("optuna", "--ledger", str(place / "runs"), "--to", str(path))
    runs = rows(ledger, experiment="tiny")
    assert told(capsys, *arguments)["written"] == {"runs": len(runs) + 1}
    assert told(capsys, *arguments)["written"] == {"runs": 0}
    found = trials(path)
    assert found.keys() == {row["run_id"] for row in runs}
    for row in runs:
        (trial,) = found[row["run_id"]]
        trained = row["outcome"] == "trained"
        assert trial.state is (TrialState.COMPLETE if trained else TrialState.PRUNED)
        assert not trained or trial.value == row["final_train_loss"]
        rates = {each: row[each] for each in ("weight_lr", "activity_lr") if row[each] is not None}
        assert trial.params == rates
        assert trial.user_attrs["seed"] == row["seed"]
        curve = ledger.curves(run_id=row["run_id"])
        assert trial.intermediate_values == dict(
            zip(curve["step"], curve["train_loss"], strict=True)
        )
    ((lost,),) = trials(path, "other").values()
    assert (lost.state, lost.user_attrs["cause"]) == (TrialState.FAIL, FORMULA)


def test_name_of_a_database_makes_one(place: Path, tmp_path: Path) -> None:
    source = Source(results.open(place / "runs"), ["other"])
    path = tmp_path / "optuna.db"
    assert [OptunaStorage(path).update(source) for _ in range(2)] == [1, 0]
    ((lost,),) = trials(path, "other").values()
    assert (lost.state, lost.user_attrs["cause"]) == (TrialState.FAIL, FORMULA)


def test_best_trial_of_optuna_is_the_best_run(place: Path, tmp_path: Path) -> None:
    ledger = results.open(place / "runs")
    path = tmp_path / "optuna.log"
    OptunaStorage(path).update(Source(ledger))
    study = optuna.load_study(study_name="tiny: mupc relu 8 x 2", storage=storage(path))
    best = ledger.runs(experiment="tiny", variant="mupc", depth=2)["final_train_loss"].min()
    assert study.best_value == best
    target = optuna.load_study(study_name="tiny: mupc relu 8 x 3", storage=storage(path))
    (verdict,) = ledger.verdicts(experiment="tiny", variant="mupc").to_dict("records")
    assert target.user_attrs["verdict by zero_shot"] == f"{verdict['verdict']}: {verdict['reason']}"


def test_dashboard_of_optuna_opens_the_export(place: Path, tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    path = tmp_path / "optuna.log"
    OptunaStorage(path).update(Source(results.open(place / "runs")))
    from optuna_dashboard._storage_url import get_storage

    application = dashboard.wsgi(get_storage(str(path)))
    heads: list[str] = []
    request: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(request)
    body = b"".join(application(request, lambda status, *_: heads.append(status)))
    assert heads == ["200 OK"]
    names = {study["study_name"] for study in json.loads(body)["study_summaries"]}
    assert "tiny: mupc relu 8 x 2" in names


def test_failed_run_that_is_trained_later_is_a_second_trial(home: Path, tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    lost = failed(results.open(home / "runs"), "tiny")
    ledger.append([lost])
    bridge = OptunaStorage(tmp_path / "optuna.log")
    assert [bridge.update(Source(ledger)) for _ in range(2)] == [1, 0]
    (whole,) = rows(results.open(home / "runs"), run_id=lost["run_id"])
    ledger.append([{**whole, "group": None}])
    assert [bridge.update(Source(ledger)) for _ in range(2)] == [1, 0]
    again = OptunaStorage(tmp_path / "optuna.log")
    assert again.update(Source(ledger)) == 0
    (found,) = trials(tmp_path / "optuna.log").values()
    assert [trial.state for trial in found] == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.slow
def test_runs_of_other_settings_are_another_study(home: Path, tmp_path: Path) -> None:
    """An experiment's name may be used again, with other training."""
    shutil.copytree(home / "runs", tmp_path / "runs")
    shorter = {"batch_size": 64, "steps": 40, "eval_every": 20}
    few = {"width": 8, "depth": 2, "weight_lr": [0.1], "activity_lr": [1], "seeds": 1}
    write_spec(tmp_path, training=shorter, variants=["bp"], tune=few)
    assert mupc(tmp_path, "run", "spec.yaml").returncode == 0
    path = tmp_path / "optuna.log"
    for _ in range(2):
        OptunaStorage(path).update(Source(results.open(tmp_path / "runs")))
    for name, steps in (("tiny: bp relu 8 x 2", 60), ("tiny: bp relu 8 x 2 (2)", 40)):
        study = optuna.load_study(study_name=name, storage=storage(path))
        assert study.user_attrs["steps"] == steps
        assert {trial.last_step for trial in study.trials} == {steps}


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DASHBOARD_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_following_continues_after_a_kill_without_repetition(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs", tmp_path / "runs")
    ledger = results.open(tmp_path / "runs")
    whole = rows(ledger, experiment="tiny")
    path = tmp_path / "optuna.log"

    def append(part: slice) -> None:
        ledger.append([{**row, "experiment": "live"} for row in whole[part]])

    def live() -> int:
        return len(trials(path, "live")) if path.exists() else 0

    append(slice(0, 3))
    with start(tmp_path, "export", "optuna", "--follow") as follower:
        eventually(lambda: live() == 3)
        append(slice(3, 7))
        eventually(lambda: live() > 3)
        follower.send_signal(signal.SIGKILL)
    append(slice(7, 9))
    with start(tmp_path, "export", "optuna", "--follow") as follower:
        eventually(lambda: live() == 9)
        append(slice(9, 10))
        eventually(lambda: live() == 10)
        follower.send_signal(signal.SIGINT)
        _, err = follower.communicate(timeout=60)
    assert follower.returncode == 130, err
    assert all(len(found) == 1 for found in trials(path, "live").values())


# TensorBoard


def test_tensorboard_reads_curves_and_hyperparameters(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    ledger = results.open(place / "runs")
    to = tmp_path / "board"
    arguments = ("tensorboard", "--ledger", str(place / "runs"), "--to", str(to))
    runs = {row["run_id"]: row for row in rows(ledger, experiment="tiny")}
    assert told(capsys, *arguments)["written"] == {"runs": len(runs)}  # the failed one is left out
    assert told(capsys, *arguments)["written"] == {"runs": 0}
    files = list(to.rglob("events.*"))
    assert {file.parent.name for file in files} == runs.keys()
    for file in files[:5]:
        row = runs[file.parent.name]
        events = EventAccumulator(str(file.parent)).Reload()
        curve = ledger.curves(run_id=row["run_id"])
        read = events.Scalars("train_loss")
        assert [event.step for event in read] == curve["step"].to_list()
        assert [event.value for event in read] == pytest.approx(curve["train_loss"].to_list())
        if row["final_train_loss"] is not None:
            (final,) = events.Scalars("final/final_train_loss")
            assert final.value == pytest.approx(row["final_train_loss"])
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start_info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        assert start_info.hparams["weight_lr"].number_value == row["weight_lr"]
        assert start_info.hparams["variant"].string_value == row["variant"]


# MLflow


def test_mlflow_reads_every_run_once(place: Path, tmp_path: Path) -> None:
    """A run that a killed export left unfinished is written again."""
    tracking = pytest.importorskip("mlflow.tracking")
    from jobs.bridges.mlflow_store import KEY, MlflowStore

    ledger, path = results.open(place / "runs"), tmp_path / "mlflow.db"
    runs = {row["run_id"]: row for row in rows(ledger, experiment="tiny")}
    store = MlflowStore(path)
    assert [store.update(Source(ledger)) for _ in range(2)] == [len(runs) + 1, 0]
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{path}")
    experiment = client.get_experiment_by_name("tiny")
    (victim, *_) = client.search_runs([experiment.experiment_id])
    client.update_run(victim.info.run_id, status="RUNNING")
    assert MlflowStore(path).update(Source(ledger)) == 1
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags[KEY] for run in found) == sorted(runs)
    for run in found:
        row = runs[run.data.tags[KEY]]
        assert run.info.status == "FINISHED"
        assert run.data.params["variant"] == row["variant"]
        assert float(run.data.params["weight_lr"]) == row["weight_lr"]
        assert run.data.metrics.get("final_train_loss") == row["final_train_loss"]
    curve = ledger.curves(run_id=found[0].data.tags[KEY])
    history = client.get_metric_history(found[0].info.run_id, "train_loss")
    assert {each.step: each.value for each in history} == dict(
        zip(curve["step"], curve["train_loss"], strict=True)
    )
    (lost,) = client.search_runs([client.get_experiment_by_name("other").experiment_id])
    assert (lost.info.status, lost.data.tags["cause"]) == ("FAILED", FORMULA)
    verdicts = {name: text for name, text in experiment.tags.items() if name.startswith("verdict")}
    assert verdicts.keys() == {
        "verdict mupc relu 8x3 zero_shot",
        "verdict bp relu 8x3 zero_shot",
    }


# CSV


def test_pandas_reads_the_tables(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = results.open(place / "runs")
    arguments = ("csv", "--ledger", str(place / "runs"), "--to", str(tmp_path / "tables"))
    written = told(capsys, *arguments)["written"]
    runs = ledger.runs()
    read = pd.read_csv(tmp_path / "tables" / "runs.csv", dtype={"run_id": str})
    assert written["runs"] == len(read) == len(runs)
    assert list(read.columns) == list(runs.columns)
    for name in ("run_id", "weight_lr", "activity_lr", "final_train_loss", "seed", "outcome"):
        pd.testing.assert_series_equal(read[name], runs[name], check_dtype=False)
    meanings = pd.read_csv(tmp_path / "tables" / "columns.csv")
    assert set(meanings.loc[meanings["table"] == "runs", "name"]) == set(runs.columns)
    only = told(capsys, *arguments, "--experiment", "other")["written"]
    assert (only["runs"], only["verdicts"]) == (1, 0)
    (cause,) = pd.read_csv(tmp_path / "tables" / "runs.csv")["cause"]
    assert cause == f"'{FORMULA}"


# Hugging Face


@pytest.fixture(scope="module")
def published(place: Path) -> Path:
    words = ["--title", "Learning rates | of *digits*", "--license", "cc-by-4.0"]
    words += ["--author", "A. Author", "--author", "B. {Author}"]
    done = mupc(place, "export", "huggingface", "--to", "hub", *words)
    assert done.returncode == 0, done.stderr
    return place / "hub"


def test_datasets_reads_every_table(
    published: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    datasets = pytest.importorskip("datasets")
    ledger = results.open(place / "runs")
    for table in ("runs", "curves", "layers", "verdicts", "measurements"):
        read = datasets.load_dataset(str(published), table, split="train", cache_dir=str(tmp_path))
        frame = getattr(ledger, table)()
        assert read.num_rows == len(frame)
        assert set(frame.columns) - set(read.column_names) <= {"host", "pid"}
    runs = datasets.load_dataset(str(published), split="train", cache_dir=str(tmp_path))
    assert runs["run_id"][:] == ledger.runs()["run_id"].to_list()


def test_croissant_is_valid_and_reads_every_record(published: Path, place: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    found = croissant.Dataset(jsonld=published / "croissant.json")
    assert not found.metadata.issues.errors
    assert not found.metadata.issues.warnings
    runs = results.open(place / "runs").runs()
    records = list(found.records("runs"))
    assert [record["runs/run_id"].decode() for record in records] == runs["run_id"].to_list()
    assert [record["runs/weight_lr"] for record in records] == runs["weight_lr"].to_list()


def test_card_names_licence_authors_and_columns(published: Path) -> None:
    import yaml

    text = (published / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    assert {each["config_name"] for each in front["configs"]} >= {"runs", "curves", "verdicts"}
    assert "# Learning rates \\| of \\*digits\\*" in text
    assert "author = {A. Author and B. Author}" in text
    schema = json.loads((published / "schema.json").read_text())
    for column in schema["runs"]:
        assert f"| `{column['name']}` |" in text
    assert not {"host", "pid"} & {column["name"] for column in schema["runs"]}


# Refusals

FORMS = ("optuna", "mlflow", "tensorboard", "csv", "huggingface")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["optun"], "'optun' is neither the id of a run nor one of .*; did you mean 'optuna'"),
        (["xyz"], "'xyz' is neither the id of a run nor one of optuna, mlflow"),
        (["csv", "--follow"], "--follow needs one of optuna, mlflow, tensorboard, not csv"),
        (["csv", "--license", "mit"], "--title, --author and --license need huggingface, not csv"),
        (["csv", "--to", "s3://bucket/x"], "--to must be a path on this machine"),
        (["csv", "--experiment", "tinny"], "unknown experiment 'tinny': .* mean 'tiny'"),
        (["0123", "--follow"], "--follow needs one of optuna, .*, not the id of a run"),
    ],
    ids=str,
)
def test_refuses_in_one_sentence(arguments: list[str], sentence: str, place: Path) -> None:
    before = sorted(place.rglob("*"))
    done = mupc(place, "export", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(sentence, done.stderr)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["text", "database", "folder"])
def test_never_writes_over_what_it_did_not_write(
    form: str, kind: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if form in ("mlflow", "tensorboard"):
        pytest.importorskip(form)
    if (form, kind) == ("tensorboard", "folder"):
        pytest.skip("its files have names of their own, and are added")
    to = tmp_path / "mine.db"
    if kind == "text":
        to.write_text("mine\n")
    elif kind == "database":
        database = sqlite3.connect(to)
        database.execute("create table mine (x)")
        database.close()
    else:
        to.mkdir()
        (to / "runs.csv").write_text("mine\n")
    files = [to] if to.is_file() else [to / "runs.csv"]
    before = [file.read_bytes() for file in files]
    done = called(capsys, "export", form, "--ledger", str(place / "runs"), "--to", str(to))
    assert done.returncode == 2, done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert str(to) in done.stderr
    assert [file.read_bytes() for file in files] == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.db"]


def test_force_replaces_a_file_and_keeps_others(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "optuna.log").write_text("mine\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "runs.csv").write_text("mine\n")
    (tmp_path / "tables" / "notes").write_text("mine\n")
    ledger = ("--ledger", str(place / "runs"), "--force")
    told(capsys, "optuna", *ledger, "--to", str(tmp_path / "optuna.log"))
    assert trials(tmp_path / "optuna.log")
    told(capsys, "csv", *ledger, "--to", str(tmp_path / "tables"))
    assert len(pd.read_csv(tmp_path / "tables" / "runs.csv")) > 1
    assert (tmp_path / "tables" / "notes").read_text() == "mine\n"


def test_keeps_a_study_of_the_user_and_adds_to_its_storage(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "optuna.log"
    optuna.create_study(study_name="mine", storage=storage(path))
    OptunaStorage(path).update(Source(results.open(place / "runs")))
    assert "mine" in optuna.get_all_study_names(storage(path))
    study = optuna.create_study(
        study_name="other: bp relu 8 x 2", storage=storage(tmp_path / "other.log")
    )
    study.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(CommandError, match="has a study 'other: bp relu 8 x 2' of yours"):
        OptunaStorage(tmp_path / "other.log").update(
            Source(results.open(place / "runs"), ["other"])
        )


def test_two_exports_do_not_write_at_the_same_time(place: Path) -> None:
    with only_writer(place / "optuna.log"):
        done = mupc(place, "export", "optuna")
    assert done.returncode == 2
    assert "another mupc export writes to optuna.log" in done.stderr
    assert not (place / ".optuna.log.lock").exists()


@pytest.mark.parametrize(
    ("form", "module", "package"),
    [
        ("mlflow", "mlflow", "mlflow-skinny"),
        ("tensorboard", "tensorboard", "tensorboard"),
    ],
)
def test_names_the_package_that_is_missing(
    form: str, module: str, package: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    done = mupc(place, "export", form)
    assert done.returncode == 2
    assert done.stderr.endswith(f"needs {package}: pip install {package}\n")

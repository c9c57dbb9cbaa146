"""MLflow: a database with an experiment for each of the ledger's, and a run for each run."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from jobs.bridges.extras import require
from jobs.bridges.places import SQLITE, begins_with, create
from jobs.bridges.source import Source, TrainedRun, arm_in_full
from jobs.errors import CommandError, one_sentence
from results.row import Row
from results.vocabulary import OutcomeLabel

KEY, OURS = "mupc.run", "mupc.experiment"
CURVES = {"train_loss": "train_loss", "test_loss": "test_loss", "test_accuracy": "test_accuracy"}
FINAL = (
    *("final_train_loss", "min_train_loss", "steps_done", "diverged_step", "seconds"),
    *("layers", "layers_learned", "lanes", *(f"change_quarter_{part}" for part in range(1, 5))),
)
_PURPOSE, _PACKAGE = "export to MLflow", "mlflow-skinny"
_MOST_LETTERS = 5000  # MLflow refuses parameters of more than 6,000
_MOST_METRICS = 1000  # in a request
_PAGE = 1000


class MlflowStore:
    """A tracking store of MLflow in an SQLite database.

    Args:
        place: the file, new or a store: its other experiments stay as they are.

    Raises:
        CommandError: the file is no store of this MLflow, or MLflow is not installed.
    """

    def __init__(self, place: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        tracking = require("mlflow.tracking", _PACKAGE, _PURPOSE)
        self._entities = require("mlflow.entities", _PACKAGE, _PURPOSE)
        self.place = place
        with _quiet():
            if not place.exists():
                create(place, lambda path: _connected(tracking, path))
            elif not place.is_file() or not begins_with(place, SQLITE):
                raise CommandError(f"--to {place}: it exists, and is no SQLite database of MLflow")
            else:
                _require_store(place)
            try:
                self._client = _connected(tracking, place)
            except Exception as error:  # of SQLAlchemy and of MLflow: whatever the file holds
                raise CommandError(
                    f"--to {place}: it exists, and is no store of this MLflow "
                    f"({one_sentence(error)})"
                ) from None
        self._ids: dict[str, str] = {}
        self._written: dict[str, set[str]] = {}
        self._verdicts: dict[str, dict[str, str]] = {}

    def update(self, source: Source) -> int:
        """Write the runs and verdicts that are new; return how many runs."""
        count = 0
        with _quiet():
            for experiment in source.names:
                place = self._experiment(experiment)
                for runs in source.new(self._written[experiment], experiment):
                    for run in runs:
                        self._add(place, run)
                        self._written[experiment].add(run.key)
                    count += len(runs)
                self._add_verdicts(experiment, source.verdicts(experiment))
        return count

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created if it is new."""
        if name in self._ids:
            return self._ids[name]
        found = self._client.get_experiment_by_name(name)
        if found is None:
            artifacts = self.place.absolute().with_suffix(".artifacts") / name
            self._ids[name] = self._client.create_experiment(
                name, artifact_location=artifacts.as_uri(), tags={OURS: "true"}
            )
            self._written[name], self._verdicts[name] = set(), {}
            return self._ids[name]
        if OURS not in found.tags:
            raise CommandError(
                f"{self.place} has an experiment {name!r} of yours: choose another --to"
            )
        self._written[name] = set(self._kept(found.experiment_id))
        self._verdicts[name] = dict(found.tags)
        self._ids[name] = found.experiment_id
        return self._ids[name]

    def _kept(self, experiment_id: str) -> Iterator[str]:
        """Yield the keys of the runs that are there, and remove what a killed export left."""
        token = None
        while True:
            page = self._client.search_runs(
                [experiment_id], max_results=_PAGE, page_token=token, order_by=["attributes.run_id"]
            )
            for run in page:
                key = run.data.tags.get(KEY)
                if key is not None and run.info.status == "RUNNING":
                    self._client.delete_run(run.info.run_id)
                elif key is not None:
                    yield key
            token = page.token
            if not token:
                return

    def _add(self, experiment_id: str, run: TrainedRun) -> None:
        entities, client = self._entities, self._client
        begun, ended = _milliseconds(run.started), _milliseconds(run.ended)
        tags = {KEY: run.key, "outcome": str(run.row["outcome"]), "phase": str(run.row["phase"])}
        tags |= _texts({name: run.row[name] for name in ("run_id", "device", "cause")})
        made = client.create_run(experiment_id, begun, tags, run_name=run.title)
        given = {**run.settings, **run.rates, "seed": run.row["seed"]}
        parameters = [entities.Param(name, text) for name, text in _texts(given).items()]
        client.log_batch(made.info.run_id, params=parameters)
        metrics = [entities.Metric(*point, ended, step) for point, step in _points(run)]
        for start in range(0, len(metrics), _MOST_METRICS):
            client.log_batch(made.info.run_id, metrics=metrics[start : start + _MOST_METRICS])
        failed = run.row["outcome"] == OutcomeLabel.FAILED
        client.set_terminated(made.info.run_id, "FAILED" if failed else "FINISHED", ended)

    def _add_verdicts(self, experiment: str, rows: Iterable[Row]) -> None:
        """Store verdicts as tags of the experiment, those that have changed."""
        known = self._verdicts[experiment]
        for row in rows:
            shape = f"{row['width']}x{row['depth']}"
            name = f"verdict {arm_in_full(row)} {shape} {row['rule']}"
            name = "".join(
                letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name
            )
            text = f"{row['verdict']}: {row['reason']}"[:_MOST_LETTERS]
            if known.get(name) != text:
                self._client.set_experiment_tag(self._ids[experiment], name, text)
                known[name] = text


def _points(run: TrainedRun) -> Iterator[tuple[tuple[str, float], int]]:
    """Yield every metric of a run with its step."""
    last = int(run.row["steps_done"] or 0)
    for point in run.curve:
        for name in CURVES:
            if point[name] is not None:
                yield (name, float(point[name])), int(point["step"])
    ends = run.curve[-1]["step"] if run.curve else None
    for name in FINAL if ends == last else (*FINAL, "test_loss", "test_accuracy"):
        if run.row[name] is not None:
            yield (name, float(run.row[name])), last


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as texts that MLflow takes, without those that are missing."""
    return {name: str(value)[:_MOST_LETTERS] for name, value in values.items() if value is not None}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _connected(tracking: ModuleType, place: Path) -> Any:
    """Return a client, which creates the tables of a new file."""
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{place.absolute()}")
    client.search_experiments(max_results=1)
    return client


def _require_store(place: Path) -> None:
    """Check that a database has experiments: MLflow would add tables to any other."""
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(place)) as database:
            database.execute("select experiment_id from experiments limit 1")
    except sqlite3.Error as error:
        raise CommandError(
            f"--to {place}: it exists, and is no store of MLflow ({error})"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow and Alembic from logging every step."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

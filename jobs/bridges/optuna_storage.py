"""Optuna: a storage with a study for every search space, which optuna-dashboard opens.

A study has the runs of one variant at one shape. A trial is a run: its parameters are the learning
rates, its value the final training loss, its intermediate values the training curve.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.bridges.places import SQLITE, begins_with, create
from jobs.bridges.source import Source, TrainedRun, settings_text
from jobs.errors import CommandError, one_sentence
from results.row import Row
from results.vocabulary import OutcomeLabel

if TYPE_CHECKING:
    import optuna

DATABASES = (".db", ".sqlite", ".sqlite3")
"""Names that end like these are SQLite databases; others are Optuna's journal, which is ten times
as fast to write."""

STALE_SECONDS = 5
"""Age at which the lock of a journal counts as left by a killed process. It is held for
milliseconds."""

KEY, SETTINGS = "mupc_run", "mupc_settings"


class OptunaStorage:
    """A storage of Optuna in one file.

    Args:
        place: the file, new or with a storage: its other studies stay as they are.

    Raises:
        CommandError: the file is no storage of Optuna.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._storage = _open(place)
        self._studies: dict[tuple[str, str], optuna.Study] = {}
        self._written: set[tuple[str, str]] = set()  # experiment and key
        self._verdicts: dict[str, dict[str, str]] = {}
        self._load()

    def update(self, source: Source) -> int:
        """Write the runs and verdicts that are new; return how many runs."""
        count = 0
        with _quiet():
            for experiment in source.names:
                written = {key for name, key in self._written if name == experiment}
                for runs in source.new(written, experiment):
                    self._add(experiment, runs)
                    count += len(runs)
                self._add_verdicts(experiment, source.verdicts(experiment))
        return count

    def _load(self) -> None:
        """Read which runs the storage has."""
        import optuna

        with _quiet():
            for study in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
                settings = study.user_attrs.get(SETTINGS)
                if settings is None:
                    continue
                opened = optuna.load_study(study_name=study.study_name, storage=self._storage)
                experiment = str(study.user_attrs["experiment"])
                self._studies[experiment, settings] = opened
                trials = opened.get_trials(deepcopy=False)
                keys = (trial.user_attrs.get(KEY) for trial in trials)
                self._written.update((experiment, key) for key in keys if key)

    def _add(self, experiment: str, runs: Sequence[TrainedRun]) -> None:
        by_study: defaultdict[tuple[str, str], list[TrainedRun]] = defaultdict(list)
        for run in runs:
            by_study[experiment, settings_text(run)].append(run)
        for key, together in by_study.items():
            study = self._study(key, together[0])
            bounds = _bounds(study, together)
            for run in together:
                study.add_trial(_trial(run, bounds))
                self._written.add((experiment, run.key))

    def _study(self, key: tuple[str, str], run: TrainedRun) -> "optuna.Study":
        """Return the study of an experiment and of settings, which is created if it is new."""
        import optuna

        if key not in self._studies:
            experiment, settings = key
            taken = {study.study_name for study in self._studies.values()}
            base = f"{experiment}: {run.arm_in_full} {run.shape}"
            name = next(name for name in _numbered(base) if name not in taken)
            study = optuna.create_study(study_name=name, storage=self._storage, load_if_exists=True)
            attributes = {"experiment": experiment, **run.settings, SETTINGS: settings}
            if study.user_attrs.keys() - attributes or study.get_trials(deepcopy=False):
                raise CommandError(
                    f"{self.place} has a study {name!r} of yours: choose another --to"
                )
            # A study counts as one of these once it has the last of them.
            for attribute, value in attributes.items():
                study.set_user_attr(attribute, value)
            study.set_metric_names(["final_train_loss"])
            self._studies[key] = study
        return self._studies[key]

    def _add_verdicts(self, experiment: str, rows: Iterable[Row]) -> None:
        for row in rows:
            text = f"{row['verdict']}: {row['reason']}" if row["reason"] else str(row["verdict"])
            attribute = f"verdict by {row['rule']}"
            for (name, _), study in self._studies.items():
                about = self._about(study)
                same = all(about.get(each) == str(row[each]) for each in _TARGET)
                if name != experiment or not same or about.get(attribute) == text:
                    continue
                study.set_user_attr(attribute, text)
                about[attribute] = text

    def _about(self, study: "optuna.Study") -> dict[str, str]:
        """Return the attributes of a study as texts, which are read once."""
        if study.study_name not in self._verdicts:
            found = {name: str(value) for name, value in study.user_attrs.items()}
            self._verdicts[study.study_name] = found
        return self._verdicts[study.study_name]


_TARGET = ("variant", "dataset", "activation", "width", "depth")


def _open(place: Path) -> "optuna.storages.BaseStorage":
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    database = place.suffix in DATABASES
    if place.exists():
        if not place.is_file() or begins_with(place, SQLITE) != database:
            kind = "an SQLite database" if database else "a journal"
            raise CommandError(f"--to {place}: it exists, and is not {kind} of Optuna")
    elif database:
        create(place, lambda path: RDBStorage(_url(path)))
    try:
        if database:
            _require_studies(place)
            return RDBStorage(_url(place))
        lock = JournalFileSymlinkLock(str(place), grace_period=STALE_SECONDS)
        return JournalStorage(JournalFileBackend(str(place), lock_obj=lock))
    except OSError:
        raise
    except Exception as error:  # of SQLAlchemy, of JSON, of Optuna: whatever the file holds
        raise CommandError(
            f"--to {place}: it exists, and is no storage of this Optuna ({one_sentence(error)})"
        ) from None


def _require_studies(place: Path) -> None:
    """Check that a database has studies: opening it by Optuna would add tables to any other."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(place)) as database:
        database.execute("select study_id from studies limit 1")


def _url(place: Path) -> str:
    return f"sqlite:///{os.path.abspath(place)}"  # noqa: PTH100


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} ({number})"
        number += 1


def _bounds(
    study: "optuna.Study", runs: Sequence[TrainedRun]
) -> dict[str, "optuna.distributions.FloatDistribution"]:
    """Return a distribution per rate that has the runs, and is as the study has it otherwise."""
    from optuna.distributions import FloatDistribution

    found: dict[str, FloatDistribution] = {}
    earlier = study.get_trials(deepcopy=False)[-1:]
    for name in dict.fromkeys(name for run in runs for name in run.rates):
        values = [run.rates[name] for run in runs if name in run.rates]
        before = earlier[0].distributions.get(name) if earlier else None
        if isinstance(before, FloatDistribution):
            values += [before.low, before.high]
        positive = min(values) > 0
        log = before.log if isinstance(before, FloatDistribution) else positive
        found[name] = FloatDistribution(min(values), max(values), log=log and positive)
    return found


def _trial(
    run: TrainedRun, bounds: "dict[str, optuna.distributions.FloatDistribution]"
) -> "optuna.trial.FrozenTrial":
    """Return a run as a trial: complete if it trained, failed if it failed, else pruned."""
    from optuna.trial import TrialState, create_trial

    loss = run.row["final_train_loss"]
    states = {
        OutcomeLabel.TRAINED: TrialState.COMPLETE if loss is not None else TrialState.PRUNED,
        OutcomeLabel.FAILED: TrialState.FAIL,
    }
    state = states.get(OutcomeLabel(run.row["outcome"]), TrialState.PRUNED)
    attributes = {KEY: run.key, "run_id": run.row["run_id"], "seed": run.row["seed"]}
    trial = create_trial(
        state=state,
        value=loss if state is TrialState.COMPLETE else None,
        params=run.rates,
        distributions={name: bounds[name] for name in run.rates},
        user_attrs=attributes | run.findings,
        intermediate_values={
            int(point["step"]): float(point["train_loss"])
            for point in run.curve
            if point["train_loss"] is not None
        },
    )
    trial.datetime_start, trial.datetime_complete = _naive(run.started), _naive(run.ended)
    return trial


def _naive(moment: datetime) -> datetime:
    """Return a time as Optuna has it: local, without its zone."""
    return moment.astimezone().replace(tzinfo=None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from printing a line per study and trial, and warnings of its own changes."""
    import warnings

    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)

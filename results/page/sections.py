"""The report's sections: one per experiment and settings, with its runs, verdicts and curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from results.errors import LedgerError, unknown
from results.figures.cells import (
    CELL_KEYS,
    ZERO_SHOT,
    Rates,
    Shape,
    at,
    at_transferred,
    tuned_shape,
)
from results.figures.style import rank

if TYPE_CHECKING:
    import pandas as pd

RATES = ("weight_lr", "activity_lr")
RUN_NUMBERS = (
    "width", "depth", "weight_lr", "activity_lr", "batch_size", "seed", "final_train_loss",
    "min_train_loss", "test_accuracy", "test_loss", "seconds", "inference_steps", "steps",
    "eval_every", "conventions", "diverged_step", "skip", "activity_decay", "output_precision",
)  # fmt: skip
RUN_WORDS = (
    "run_id", "experiment", "phase", "variant", "dataset", "activation", "outcome", "cause",
    "residual", "parameterisation", "output", "rule", "inference", "optimiser",
    "optimiser_options", "dataset_digest", "device", "host", "mupc_version", "jax_version",
    "started", "network", "network_options", "bias", "rule_options", "inference_options", "start",
    "start_options", "penalties",
)  # fmt: skip
VERDICT_NUMBERS = (
    "tune_width", "tune_depth", "width", "depth", "weight_lr", "activity_lr", "loss", "accuracy",
    "accuracy_std", "best_weight_lr", "best_activity_lr", "best_loss", "regret", "regret_low",
    "regret_high", "drift_weight_lr", "drift_weight_lr_low", "drift_weight_lr_high",
    "drift_activity_lr", "drift_activity_lr_low", "drift_activity_lr_high", "min_train_loss",
    "seeds", "cells", "runs_trained", "runs_at_chance", "runs_diverged", "runs_failed",
    *(f"{rate}_{end}" for rate in RATES for end in ("low", "high")),
    *(
        f"{rate}_{size}_exponent{end}"
        for rate in RATES for size in ("depth", "width") for end in ("", "_low", "_high")
    ),
)  # fmt: skip
VERDICT_WORDS = (
    "experiment", "variant", "dataset", "activation", "verdict", "reason", "created", "rule",
)  # fmt: skip
MEASURED = tuple(
    f"{kind}_{rate}{end}"
    for kind in ("optimal", "law") for rate in RATES for end in ("", "_low", "_high")
)  # fmt: skip
"""Quantities that a fitted law leaves in the ledger."""
MEASURED_NUMBERS = ("width", "depth", "value")
MEASURED_WORDS = ("quantity", "variant", "dataset", "activation")
CURVE_NUMBERS = ("step", "train_loss", "test_loss", "test_accuracy")
SETTINGS = (
    "dataset_digest", "residual", "output", "batch_size", "steps", "eval_every", "optimiser",
    "optimiser_options", "conventions", "skip", "bias", "penalties",
)  # fmt: skip
"""Columns that are constant within a section, besides experiment, data set and activation."""


UNKNOWN = "unknown"


class Source(Protocol):
    """What the report needs of a ledger; every filter is column=value or column=[values]."""

    def experiments(self) -> list[str]:
        """The names of all experiments, sorted."""

    def runs(self, **filters: Any) -> pd.DataFrame:
        """One row per trained network."""

    def curves(self, **filters: Any) -> pd.DataFrame:
        """One row per run and evaluation."""

    def verdicts(self, latest: bool = True, **filters: Any) -> pd.DataFrame:
        """The newest verdict of every experiment, variant, target shape and rule."""

    def measurements(self, latest: bool = True, **filters: Any) -> pd.DataFrame:
        """The newest measurement of every quantity."""


@dataclass(frozen=True)
class Section:
    """One experiment on one data set with one activation and one set of training settings.

    Attributes:
        experiment: its name.
        dataset: name of the data set.
        activation: name of the activation.
        runs: its runs, one per cell, seed and shape: `RUN_NUMBERS` as float64, `RUN_WORDS`.
        verdicts: its newest verdicts: `VERDICT_NUMBERS` as float64, `VERDICT_WORDS`.
        curves: training curves of the runs at the transferred cells.
        measured: what fitted laws say: `MEASURED_NUMBERS` as float64, `MEASURED_WORDS`.
        superseded: runs left out because a newer run has the same cell, seed and shape.
        differs: the settings by which it differs from its experiment's other sections.
    """

    experiment: str
    dataset: str
    activation: str
    runs: pd.DataFrame
    verdicts: pd.DataFrame
    curves: pd.DataFrame
    measured: pd.DataFrame
    superseded: int
    differs: dict[str, str]

    @property
    def variants(self) -> list[str]:
        """Its variants, the known ones first."""
        return sorted({*self.runs["variant"], *self.verdicts["variant"]}, key=rank)

    @property
    def rules(self) -> list[str]:
        """The rules by which learning rates went to the targets."""
        return list(self.verdicts["rule"].unique())

    @cached_property
    def moved(self) -> pd.DataFrame:
        """The runs at every variant's transferred cell."""
        return at_transferred(self.runs, self.verdicts)

    @property
    def tuned(self) -> Shape | None:
        """The shape where the first variant was tuned."""
        shapes = (tuned_shape(self.runs, self.verdicts, v) for v in self.variants)
        return next((shape for shape in shapes if shape is not None), None)


def collect(ledger: Source, experiment: str | None) -> list[Section]:
    """The sections of `experiment`, or of every experiment in the ledger, by name.

    Raises:
        LedgerError: the ledger holds no such experiment, or nothing at all.
    """
    wanted = ledger.experiments() if experiment is None else [experiment]
    found = [section for name in wanted for section in _sections(ledger, name)]
    if found:
        return found
    names = ledger.experiments()
    if experiment is None or not names:
        raise LedgerError("the ledger holds no runs and no verdicts to report")
    raise unknown("experiment", experiment, names)


def _sections(ledger: Source, experiment: str) -> list[Section]:
    import numpy as np

    runs = _typed(ledger.runs(experiment=experiment), RUN_NUMBERS, RUN_WORDS)
    runs = runs.dropna(subset=["variant", "width", "depth", "weight_lr"])  # else it is in no cell
    verdicts = _typed(ledger.verdicts(experiment=experiment), VERDICT_NUMBERS, VERDICT_WORDS)
    verdicts["rule"] = verdicts["rule"].fillna(ZERO_SHOT)
    measured = ledger.measurements(experiment=experiment, quantity=list(MEASURED))
    laws = _typed(measured, MEASURED_NUMBERS, MEASURED_WORDS)
    groups = _groups(runs, verdicts)
    owners = np.array([_owner(row, groups) for _, row in verdicts.iterrows()], dtype=int)
    keys = [key for key, _ in groups]
    sections = []
    for g, (key, some) in enumerate(groups):
        mine = verdicts[owners == g]
        kept = _newest(some)
        section = Section(
            experiment=experiment,
            dataset=str(key[0] or UNKNOWN),
            activation=str(key[1] or UNKNOWN),
            runs=kept,
            verdicts=_ordered(mine),
            curves=_curves(ledger, at_transferred(kept, mine)),
            measured=laws[laws["dataset"].eq(key[0]) & laws["activation"].eq(key[1])],
            superseded=len(some) - len(kept),
            differs=_differences(key, keys),
        )
        sections.append(section)
    return sections


def _ordered(verdicts: pd.DataFrame) -> pd.DataFrame:
    """By variant and shape, the rules in the order in which they were judged."""
    order = ["variant", "width", "depth"]
    by_time = verdicts.sort_values("created", kind="stable")
    return by_time.sort_values(order, kind="stable").reset_index(drop=True)


Key = tuple[Any, ...]


def _groups(runs: pd.DataFrame, verdicts: pd.DataFrame) -> list[tuple[Key, pd.DataFrame]]:
    """(data set, activation, settings...) and its runs, oldest first.

    A verdict whose runs are not there makes a group without runs: no verdict goes unreported.
    """
    by = ["dataset", "activation", *SETTINGS]
    filled = runs[by].astype(object).where(runs[by].notna(), None)  # NaN differs from itself
    keys = [tuple(row) for row in filled.itertuples(index=False, name=None)]
    groups = [(key, runs[[k == key for k in keys]]) for key in dict.fromkeys(keys)]
    groups.sort(key=lambda group: (group[0][:2], str(group[1]["started"].max())))
    there = {key[:2] for key, _ in groups}
    for pair in dict.fromkeys(zip(verdicts["dataset"], verdicts["activation"], strict=True)):
        if pair not in there:
            groups.append(((*pair, *[None] * len(SETTINGS)), runs.iloc[:0]))
    return groups


def _owner(verdict: pd.Series, groups: list[tuple[Key, pd.DataFrame]]) -> int:
    """Index of the group whose runs `verdict` was reached on.

    Experiment, data set and activation usually leave one. An experiment run again with other
    settings leaves several: then the newest whose mean loss at the verdict's cell is its loss.
    """
    pair = (verdict["dataset"], verdict["activation"])
    candidates = [g for g, (key, _) in enumerate(groups) if key[:2] == pair]
    agreeing = [g for g in candidates if _agrees(verdict, groups[g][1])]
    return (agreeing or candidates)[-1]


def _agrees(verdict: pd.Series, runs: pd.DataFrame) -> bool:
    import numpy as np

    shape = runs["width"].eq(verdict["width"]) & runs["depth"].eq(verdict["depth"])
    rates = Rates(verdict["weight_lr"], verdict["activity_lr"])
    here = runs[runs["variant"].eq(verdict["variant"]) & shape & at(runs, rates)]
    loss = here.loc[here["outcome"].eq("trained"), "final_train_loss"].mean()
    return bool(len(here)) and bool(np.isclose(loss, verdict["loss"], rtol=1e-4, equal_nan=True))


def _newest(runs: pd.DataFrame) -> pd.DataFrame:
    """One run per cell, shape and seed: the last one started."""
    order = runs.sort_values("started", kind="stable")
    return order.drop_duplicates([*CELL_KEYS, "seed"], keep="last").reset_index(drop=True)


def _differences(key: Key, keys: list[Key]) -> dict[str, str]:
    """The settings in which `key` differs from another key of the same data set and activation."""
    rivals = [k for k in keys if k[:2] == key[:2]]
    columns = zip(SETTINGS, *(k[2:] for k in rivals), strict=True)
    varying = {name for name, *values in columns if len(set(values)) > 1}
    mine = dict(zip(SETTINGS, key[2:], strict=True))
    return {name: _word(mine[name]) for name in SETTINGS if name in varying}


LONGEST = 48  # characters of a setting: a digest is longer


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _curves(ledger: Source, moved: pd.DataFrame) -> pd.DataFrame:
    ids = [str(run_id) for run_id in moved["run_id"]]
    if not ids:
        return _typed(moved.iloc[:0], CURVE_NUMBERS, ("run_id",))
    return _typed(ledger.curves(run_id=ids), CURVE_NUMBERS, ("run_id",))


def _typed(frame: pd.DataFrame, numbers: tuple[str, ...], words: tuple[str, ...]) -> pd.DataFrame:
    """The named columns, whatever dtypes they came in: numbers as float64, NaN where there is none;
    the others as objects, None where there is none.
    """
    import pandas as pd

    typed = frame.reindex(columns=[*numbers, *words]).reset_index(drop=True)
    for name in numbers:
        typed[name] = pd.to_numeric(typed[name], errors="coerce").astype("float64")
    for name in words:
        typed[name] = typed[name].astype(object).where(typed[name].notna(), None)
    return typed

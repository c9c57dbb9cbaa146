"""The sections of the report: one per experiment, data set, activation and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from results.early_losses import EarlyLosses, early_losses
from results.errors import LedgerError, unknown
from results.figures.cells import (
    CELL_KEYS,
    at_cell,
    at_shape,
    cell_of,
    column_of,
    rate_columns,
    rates_of_runs,
    records,
    settle,
)
from results.figures.panels import at_transferred, tuned_shape
from results.figures.style import rank
from results.page.drawable import drawable
from results.page.newest import judged_ids, newest_runs, order, split_verdicts
from results.rates import names_in, rates_in
from results.row import Row
from results.schema.column import Column
from results.schema.columns import CURVES, LAYERS, MEASUREMENTS, RUNS
from results.schema.verdict_columns import VERDICTS
from results.shapes import Shape
from results.vocabulary import RATES, OutcomeLabel, Phase

if TYPE_CHECKING:
    import pandas as pd


def measured_of(rates: Iterable[str]) -> list[str]:
    """Return the quantities of a fitted law in the table `measurements`."""
    return [
        f"{kind}_{rate}{end}"
        for kind in ("optimal", "law")
        for rate in rates
        for end in ("", "_low", "_high")
    ]


SETTINGS = (
    "dataset_digest", "residual", "output", "batch_size", "steps", "eval_every", "optimiser",
    "optimiser_options", "conventions", "skip", "bias", "penalties",
)  # fmt: skip
"""Columns that are constant within a section, besides experiment, data set and activation."""

UNKNOWN = "unknown"
SHOWN_TIMES = ("1970-01-01T00:00Z", "2200-01-01T00:00Z")
"""Times beyond these are shown as the nearest of them."""

Key = tuple[object, ...]
"""Data set, activation and the values of `SETTINGS`."""


class Source(Protocol):
    """What a section is made of: a ledger, or what answers as one."""

    def experiments(self) -> list[str]: ...

    @property
    def runs(self) -> Callable[..., pd.DataFrame]: ...

    @property
    def verdicts(self) -> Callable[..., pd.DataFrame]: ...

    @property
    def measurements(self) -> Callable[..., pd.DataFrame]: ...

    @property
    def curves(self) -> Callable[..., pd.DataFrame]: ...

    @property
    def layers(self) -> Callable[..., pd.DataFrame]: ...


@dataclass(frozen=True)
class Section:
    """One experiment on one data set with one activation and one set of training settings.

    Attributes:
        experiment: name of the experiment.
        dataset: name of the data set.
        activation: name of the activation.
        runs: its runs, one per cell, seed and shape; numbers as float64.
        verdicts: the newest verdicts of its newest spec; numbers as float64.
        older: verdicts of older specs on targets that the newest one does not have.
        curves: training curves of the runs at the transferred cells; none without details.
        layers: changes of the layers of these runs; none without details.
        early: losses during the search beside the final ones, by variant; none without details,
            and of a variant whose search stopped cells early.
        measured: quantities of fitted laws; numbers as float64.
        superseded: number of runs left out, which are of older specs.
        differs: settings, by column, that differ from other sections of the experiment.
        left_out: number of runs and verdicts of the experiment that have no place in a figure.
        blank: number of values of the experiment that are too extreme to show.
    """

    experiment: str
    dataset: str
    activation: str
    runs: pd.DataFrame
    verdicts: pd.DataFrame
    older: pd.DataFrame
    curves: pd.DataFrame
    layers: pd.DataFrame
    early: list[EarlyLosses]
    measured: pd.DataFrame
    superseded: int
    differs: dict[str, str]
    left_out: int = 0
    blank: int = 0

    @property
    def variants(self) -> list[str]:
        """The variants, known ones first."""
        return sorted({*self.runs["variant"], *self.verdicts["variant"]}, key=rank)

    @property
    def networks(self) -> bool:
        """Whether the runs are of networks of mupc's, and not of a training function."""
        return self.rates == RATES

    @property
    def rates(self) -> tuple[str, ...]:
        """The names of the rates."""
        return rates_of_runs(self.runs) if len(self.runs) else rates_in(records(self.verdicts))

    @property
    def rules(self) -> list[str]:
        """The transfer rules that were judged."""
        return list(self.verdicts["rule"].unique())

    @cached_property
    def moved(self) -> pd.DataFrame:
        """The runs at the transferred cell of every variant."""
        return at_transferred(self.runs, self.verdicts)

    @property
    def tuned(self) -> Shape | None:
        """The shape where the first variant was tuned."""
        shapes = (tuned_shape(self.runs, self.verdicts, v) for v in self.variants)
        return next((shape for shape in shapes if shape is not None), None)


def collect(ledger: Source, experiment: str | None, *, details: bool = True) -> list[Section]:
    """Return the sections of `experiment`, or of every experiment in the ledger, by name.

    Args:
        ledger: where the rows are.
        experiment: name of the experiment; None for all.
        details: whether to read curves and layers, which takes most of the time.

    Raises:
        LedgerError: the ledger has no such experiment, or no runs and no verdicts.
    """
    wanted = ledger.experiments() if experiment is None else [experiment]
    found = [section for name in wanted for section in _sections(ledger, name, details)]
    if found:
        return found
    names = ledger.experiments()
    if experiment in names or (experiment is None and names):
        raise LedgerError("the ledger holds no run and no verdict that can be drawn")
    if experiment is None or not names:
        raise LedgerError("the ledger holds no runs and no verdicts to report")
    raise unknown("experiment", experiment, names)


def _sections(ledger: Source, experiment: str, details: bool) -> list[Section]:
    import numpy as np
    import pandas as pd

    runs = settle(_typed(_stored(ledger.runs(experiment=experiment)), RUNS))
    runs = runs.dropna(subset=["variant", "width", "depth", "phase"])
    runs = runs[runs["weight_lr"].notna() | runs["rates"].notna()]  # the others have no cell
    runs = rate_columns(runs)
    rates = tuple(column_of(rate) for rate in (*RATES, *names_in(runs)))
    runs, runs_out, blank = drawable(runs, ("width", "depth", *rates))
    verdicts = _typed(ledger.verdicts(latest=False, experiment=experiment), VERDICTS)
    verdicts = verdicts.dropna(subset=["variant", "width", "depth", "verdict"])
    verdicts, verdicts_out, blank_verdicts = drawable(verdicts, ("width", "depth"))
    tuned = verdicts[["tune_width", "tune_depth"]]
    verdicts[tuned.columns] = tuned.where(tuned.notna().all(axis=1))
    names = dict.fromkeys((*RATES, *names_in(runs)))
    measured = ledger.measurements(experiment=experiment, quantity=measured_of(names))
    laws = _typed(measured, MEASUREMENTS).dropna(subset=["variant", "width", "depth"])
    laws, _, _ = drawable(laws, ("width", "depth"))
    groups = _groups(runs, verdicts)
    owners = np.array([_owner(row, groups) for row in records(verdicts)], dtype=int)
    keys = [key for key, _ in groups]
    sections = []
    for g, (key, some) in enumerate(groups):
        mine, older = split_verdicts(verdicts[owners == g])
        chosen, overtaken = newest_runs(some, mine)
        stale = mine["variant"].isin(overtaken)
        mine, older = mine[~stale], pd.concat([older, mine[stale]]) if stale.any() else older
        kept = _newest(chosen)
        there = at_transferred(kept, mine) if details else kept.iloc[:0]
        searched = _searched(kept, mine) if details else kept.iloc[:0]
        # One query for both: it reads the same files.
        either = pd.concat([there, searched]).drop_duplicates("run_id")
        curves = _details(ledger.curves, CURVES, either)
        section = Section(
            experiment=experiment,
            dataset=str(key[0] or UNKNOWN),
            activation=str(key[1] or UNKNOWN),
            runs=kept,
            verdicts=_ordered(mine),
            older=_ordered(older),
            curves=curves[curves["run_id"].isin(there["run_id"])].reset_index(drop=True),
            layers=_details(ledger.layers, LAYERS, there),
            early=early_losses(searched, curves),
            measured=_laws(laws, key, kept, several=len(kept) < len(some)),
            superseded=len(some) - len(kept),
            differs=_differences(key, keys),
            left_out=runs_out + verdicts_out,
            blank=blank + blank_verdicts,
        )
        sections.append(section)
    return sections


def _stored(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs as the ledger stores them: a rate fills no column of the same name."""
    shared = [name for name in names_in(runs) if name in runs]
    if not shared:
        return runs
    of_functions = runs["rates"].notna()
    return runs.assign(**{name: runs[name].mask(of_functions) for name in shared})


def _laws(laws: pd.DataFrame, key: Key, runs: pd.DataFrame, *, several: bool) -> pd.DataFrame:
    """Return the quantities of laws of a section; after `several` specs, at the newest's shapes."""
    import numpy as np

    mine = laws[laws["dataset"].eq(str(key[0])) & laws["activation"].eq(str(key[1]))]
    if not several:
        return mine
    there = set(zip(runs["width"], runs["depth"], strict=True))
    pairs = zip(mine["width"], mine["depth"], strict=True)
    return mine[np.array([pair in there for pair in pairs], bool)]


def _ordered(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts by variant and shape, rules in the order in which they were judged."""
    order = ["variant", "width", "depth"]
    by_time = verdicts.sort_values("created", kind="stable")
    return by_time.sort_values(order, kind="stable").reset_index(drop=True)


def _groups(runs: pd.DataFrame, verdicts: pd.DataFrame) -> list[tuple[Key, pd.DataFrame]]:
    """Return the runs by data set, activation and settings, oldest first.

    A verdict whose runs are missing makes a group without runs, so that every verdict is reported.
    """
    by = ["dataset", "activation", *SETTINGS]
    filled = runs[by].astype(object).where(runs[by].notna(), None)  # NaN is not equal to NaN
    keys = [tuple(row) for row in filled.itertuples(index=False, name=None)]
    groups = [(key, runs[[k == key for k in keys]]) for key in dict.fromkeys(keys)]
    groups.sort(key=lambda group: (group[0][:2], order(group[1]).max()))
    there = {key[:2] for key, _ in groups}
    for pair in dict.fromkeys(zip(verdicts["dataset"], verdicts["activation"], strict=True)):
        if pair not in there:
            groups.append(((*pair, *[None] * len(SETTINGS)), runs.iloc[:0]))
    return groups


def _owner(verdict: Row, groups: list[tuple[Key, pd.DataFrame]]) -> int:
    """Return the index of the group whose runs were judged.

    Experiment, data set and activation usually leave one group. After a rerun with other settings
    there are several: then it is the one that has a judged run. A verdict that names none is of the
    newest group whose mean loss at the verdict's cell is its loss.
    """
    pair = (verdict["dataset"], verdict["activation"])
    candidates = [g for g, (key, _) in enumerate(groups) if key[:2] == pair]
    judged = judged_ids(verdict["run_ids"])
    agreeing = [g for g in candidates if groups[g][1]["run_id"].isin(judged).any()]
    agreeing = agreeing or [g for g in candidates if _agrees(verdict, groups[g][1])]
    return (agreeing or candidates)[-1]


def _agrees(verdict: Row, runs: pd.DataFrame) -> bool:
    import numpy as np

    cell = cell_of(verdict)
    if cell is None:
        return False
    shape = Shape(int(verdict["width"]), int(verdict["depth"]))
    here = at_shape(runs[runs["variant"].eq(verdict["variant"])], shape)
    here = here[at_cell(here, cell)]
    loss = here["final_train_loss"].where(here["outcome"].eq(OutcomeLabel.TRAINED))
    means = loss.groupby(here["inference_steps"], dropna=False).mean()
    return bool(np.isclose(means, verdict["loss"], rtol=1e-4, equal_nan=True).any())


def _newest(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one run per cell, shape and seed: the newest."""
    ordered = runs.loc[order(runs).sort_values(kind="stable").index]
    return ordered.drop_duplicates([*CELL_KEYS, "seed"], keep="last").reset_index(drop=True)


def _differences(key: Key, keys: list[Key]) -> dict[str, str]:
    """Return the settings in which `key` differs from others of its data set and activation."""
    rivals = [k for k in keys if k[:2] == key[:2]]
    columns = zip(SETTINGS, *(k[2:] for k in rivals), strict=True)
    varying = {name for name, *values in columns if len(set(values)) > 1}
    mine = dict(zip(SETTINGS, key[2:], strict=True))
    return {name: _text(mine[name]) for name in SETTINGS if name in varying}


LONGEST = 48  # characters of a setting


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _searched(runs: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the searches that stopped no cell early."""
    found = runs["phase"].eq(Phase.TUNE)
    for variant in runs["variant"].unique():
        mine, shape = runs["variant"].eq(variant), tuned_shape(runs, verdicts, variant)
        if shape is not None:
            found &= ~mine | (runs["width"].eq(shape.width) & runs["depth"].eq(shape.depth))
        if runs.loc[found & mine, "outcome"].eq(OutcomeLabel.PRUNED).any():
            found &= ~mine
    return runs[found]


def _details(
    query: Callable[..., pd.DataFrame], columns: Sequence[Column], moved: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of a query of the ledger, of its curves or layers, for some runs."""
    ids = [str(run_id) for run_id in moved["run_id"]]
    found = _typed(query(run_id=ids) if ids else moved.iloc[:0], columns)
    return drawable(found, ("step", "layer"))[0]


def _typed(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return the columns of a table in dtypes of NumPy.

    Numbers are float64, NaN where there is none; the others are objects, None where there is none
    and a null stands for nothing.
    """
    import pandas as pd

    typed = {}
    for column in columns:
        values = frame.get(column.name, pd.Series(None, index=frame.index, dtype=object))
        if column.numeric:
            typed[column.name] = pd.to_numeric(values, errors="coerce").astype("float64")
        else:
            if pd.api.types.is_datetime64_any_dtype(values):
                first, last = map(pd.Timestamp, SHOWN_TIMES)
                values = values.mask(values.lt(first), first).mask(values.gt(last), last)
            typed[column.name] = values.astype(object).where(values.notna(), column.absent)
    return pd.DataFrame(typed).reset_index(drop=True)

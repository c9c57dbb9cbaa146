"""The report's tables of runs and settings, as text cells ready for a template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.durations import duration
from results.figures.cells import by_shape, cell_of, records
from results.figures.panels import leading, transferred
from results.figures.style import label, rank
from results.page.wording import listing, loss, number, percent, rates, size, whole
from results.shapes import Shape
from results.vocabulary import ZERO_SHOT, OutcomeLabel

if TYPE_CHECKING:
    import pandas as pd

    from results.page.sections import Section


HORIZONS = (0.1, 0.25, 0.5)
"""Shares of the updates after which early losses are compared with final ones."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: the caption.
        columns: names of the columns.
        rows: the cells of every row.
        headers: how many leading cells name a row.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    headers: int = 1


UNUSUAL = (
    "network", "network_options", "skip", "bias", "activity_decay", "output_precision",
    "rule_options", "inference_options", "start", "start_options", "penalties",
)  # fmt: skip
"""Columns of `runs` that are null in most experiments."""


def moved_table(section: Section) -> Table:
    """Return losses and accuracies at the transferred cell, a row per variant and shape."""
    columns = [
        "variant", "shape", "trained / finished seeds", "final training loss",
        "min. single-batch loss (thesis)", "test loss", "test accuracy",
    ]  # fmt: skip
    rows = [_moved_row(*group) for group in by_shape(section.moved)]
    led = leading(section.verdicts)["rule"]
    what = "the tuned optimum"
    if led.ne(ZERO_SHOT).any():
        what = f"the tuned optimum, and at the targets what rule {led.iloc[0]} predicts"
    caption = f"At the transferred cell ({what}): mean ± standard deviation over trained seeds"
    return Table(caption, columns, rows, headers=2)


def _moved_row(variant: str, shape: Shape, runs: pd.DataFrame) -> list[str]:
    trained = runs[runs["outcome"].eq(OutcomeLabel.TRAINED)]
    finished = int(runs["outcome"].ne(OutcomeLabel.FAILED).sum())
    accuracy = trained["test_accuracy"]
    return [
        label(variant),
        size(shape),
        f"{len(trained)} / {finished}",
        _spread(trained["final_train_loss"]),
        _spread(trained["min_train_loss"]),
        _spread(trained["test_loss"]),
        percent(accuracy.mean(), accuracy.std(ddof=1)),
    ]


def _spread(values: pd.Series) -> str:
    return loss(values.mean(), values.std(ddof=1))


def older_table(section: Section) -> Table | None:
    """Return the verdicts of older specs of the name; None if there are none."""
    if section.older.empty:
        return None
    columns = ["variant", "target", "rule", "older verdict", "transferred cell", "judged"]
    rows = [
        [
            label(v["variant"]),
            size(Shape(int(v["width"]), int(v["depth"]))),
            v["rule"].replace("_", " "),
            str(v["verdict"]),
            rates(cell_of(v)),
            v["created"].strftime("%Y-%m-%d %H:%M UTC"),
        ]
        for v in records(section.older)
    ]
    caption = (
        "Older verdicts, by specs that had this name before: their targets are not in the newest "
        "spec"
    )
    return Table(caption, columns, rows, headers=2)


def counts_table(runs: pd.DataFrame) -> Table:
    """Return the runs by outcome, a row per variant and phase, and their compute time."""
    pruned = runs["outcome"].eq(OutcomeLabel.PRUNED).any()
    shown = [each for each in OutcomeLabel if pruned or each is not OutcomeLabel.PRUNED]
    columns = ["variant", "phase", *(outcome.text for outcome in shown), "all", "compute"]
    rows = []
    for variant in sorted(runs["variant"].unique(), key=rank):
        mine = runs[runs["variant"].eq(variant)]
        for phase in sorted(mine["phase"].unique(), reverse=True):  # tune, then transfer
            rows.append([label(variant), phase, *_counts(mine[mine["phase"].eq(phase)], shown)])
    if len(rows) > 1:
        rows.append(["all", "", *_counts(runs, shown)])
    return Table("Runs by outcome", columns, rows, headers=2)


def _counts(runs: pd.DataFrame, shown: Sequence[OutcomeLabel]) -> list[str]:
    by_outcome = [whole(int(runs["outcome"].eq(outcome).sum())) for outcome in shown]
    return [*by_outcome, whole(len(runs)), duration(runs["seconds"].sum())]


def pruning_table(section: Section) -> Table | None:
    """Return what early losses tell about final ones, a row per variant; None if it is not known.

    At the first evaluations after these shares of the updates.
    """
    columns: list[str] = []
    rows = []
    for early in section.early:
        before = [each for each in early.horizons() if each.share < 1]
        first = (next((h for h in before if h.share >= share), None) for share in HORIZONS)
        shown = [each for each in dict.fromkeys(first) if each is not None]
        names = [f"after {each.updates} ({each.share:.0%})" for each in shown]
        columns = columns or names
        known = all(each.correlation is not None and each.keep is not None for each in shown)
        if shown and known and names == columns:
            cells = [f"{number(each.correlation, 2)}, {each.keep:.0%}" for each in shown]
            rows.append([label(early.variant), *cells])
    if not rows:
        return None
    caption = (
        "Early losses of the search: rank correlation with the final losses after some of the "
        "updates, and the share of cells that must continue then to keep all within 5 % of the best"
    )
    return Table(caption, ["variant", *columns], rows)


def failures_table(runs: pd.DataFrame) -> Table | None:
    """Return the causes of failed runs and how often each occurred; None if no run failed."""
    causes = runs.loc[runs["outcome"].eq(OutcomeLabel.FAILED), "cause"].fillna("no cause recorded")
    if causes.empty:
        return None
    rows = [[str(cause), whole(count)] for cause, count in causes.value_counts().items()]
    return Table("Failed runs by cause", ["cause", "runs"], rows)


def settings_table(section: Section) -> Table:
    """Return the settings that rerunning the experiment takes, a row each."""
    runs = section.runs
    digest = _values(runs["dataset_digest"])
    rows = [
        [
            "data set" if section.networks else "training function",
            section.dataset + (f" (SHA-256 {digest[:16]}…)" if digest else ""),
        ],
        ["activation", f"{section.activation}{_skips(runs)}" if section.networks else ""],
        ["output", _values(runs["output"]).replace("_", " ")],
        ["parameterisation", _per_variant(section, "parameterisation")],
        ["learning rule", _per_variant(section, "rule")],
        ["batch size B", _values(runs["batch_size"])],
        ["weight updates", _values(runs["steps"])],
        ["evaluated every", _after(_values(runs["eval_every"]), "updates")],
        ["optimiser", _optimiser(runs)],
        ["inference", _inference(runs)],
        ["other settings", _others(runs)],
        ["β per sample, β/B", _beta_per_sample(section) if section.networks else ""],
        ["seeds", whole(runs["seed"].nunique())],
        ["numerical conventions", _after("version", _values(runs["conventions"]))],
        ["versions", _versions(runs)],
        ["devices", _devices(runs)],
        ["started", _dates(runs["started"])],
    ]
    kept = [row for row in rows if row[1]]
    return Table("Settings", ["setting", "value"], kept)


def _distinct(values: pd.Series) -> list[str]:
    known = set(values.dropna())
    return [number(v, 12) if isinstance(v, float) else str(v) for v in sorted(known)]


def _values(values: pd.Series) -> str:
    found = _distinct(values)
    return listing(found) if found else ""


def _after(first: str, second: str) -> str:
    return f"{first} {second}" if first and second else ""


def _skips(runs: pd.DataFrame) -> str:
    flags = set(runs["residual"].dropna().astype(bool))
    words = {True: "residual network", False: "plain network"}
    return f", {listing([words[flag] for flag in sorted(flags)])}" if flags else ""


def _per_variant(section: Section, column: str) -> str:
    by = section.runs.groupby("variant")[column]
    found = {v: _values(values) for v, values in by}
    return ", ".join(f"{label(v)}: {found[v]}" for v in section.variants if found.get(v))


def _optimiser(runs: pd.DataFrame) -> str:
    names = _values(runs["optimiser"])
    options: dict[str, object] = {}
    for text in _distinct(runs["optimiser_options"]):
        try:
            options |= json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return f"{names} ({text})"
    listed = ", ".join(f"{key} = {value}" for key, value in options.items())
    return f"{names} ({listed})" if listed else names


def _inference(runs: pd.DataFrame) -> str:
    infers = runs[runs["inference"].notna()]
    if infers.empty:
        return ""
    scheme = _values(infers["inference"]).replace("_", " ")
    if infers["inference_steps"].isna().all():
        return scheme
    if infers["inference_steps"].eq(infers["depth"]).all():
        return f"{scheme}, as many steps as hidden layers (T = H)"
    return f"{scheme}, {_values(infers['inference_steps'])} steps"


def _others(runs: pd.DataFrame) -> str:
    """Return the settings that are null in most experiments, where they have a value here."""
    found = {name: _values(runs[name]) for name in UNUSUAL}
    return ", ".join(f"{name} = {value}" for name, value in found.items() if value)


def _beta_per_sample(section: Section) -> str:
    """Return β/B at each variant's transferred cell: the step size for one sample's activities."""
    batch = section.runs["batch_size"].dropna()
    parts = []
    for variant in section.variants:
        cell = transferred(section.runs, section.verdicts, variant)
        if cell is not None and cell.activity_lr is not None and not batch.empty:
            share = number(cell.activity_lr / batch.iloc[0])
            parts.append(f"{label(variant)}: {number(cell.activity_lr, 4)}/B = {share}")
    return ", ".join(parts)


def _versions(runs: pd.DataFrame) -> str:
    pairs = (("mupc", runs["mupc_version"]), ("JAX", runs["jax_version"]))
    return ", ".join(f"{name} {_values(v)}" for name, v in pairs if _values(v))


def _devices(runs: pd.DataFrame) -> str:
    hosts = runs["host"].dropna().nunique()
    machines = f" on {hosts} {'machine' if hosts == 1 else 'machines'}" if hosts else ""
    return f"{_values(runs['device'])}{machines}"


def _dates(started: pd.Series) -> str:
    import pandas as pd

    times = pd.to_datetime(started.dropna(), utc=True)
    if times.empty:
        return ""
    first, last = (t.strftime("%Y-%m-%d %H:%M") for t in (times.min(), times.max()))
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"

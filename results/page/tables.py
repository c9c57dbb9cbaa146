"""The report's tables, as text cells ready for a template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from results.figures.cells import (
    OUTCOMES,
    ZERO_SHOT,
    Rates,
    Shape,
    by_shape,
    leading,
    records,
    transferred,
)
from results.figures.style import label, rank
from results.page.wording import (
    NOTHING,
    OUTCOME_WORDS,
    excess,
    interval,
    law,
    listing,
    loss,
    number,
    octaves,
    percent,
    rates,
    size,
    whole,
)

if TYPE_CHECKING:
    import pandas as pd

    from results.page.sections import Section


@dataclass(frozen=True)
class Table:
    """A table: every row's first `headers` cells name the row.

    Attributes:
        caption: what it shows.
        columns: column names.
        rows: text cells, as many as columns.
        headers: leading cells of a row that are row headers.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    headers: int = 1


@dataclass(frozen=True)
class VerdictRow:
    """One verdict: its target, its word, numbers in the order of `VERDICT_COLUMNS`, its reason.

    A number is (value, bootstrap interval or other remark, which may be empty).
    """

    target: str
    word: str
    numbers: list[tuple[str, str]]
    reason: str


@dataclass(frozen=True)
class VerdictGroup:
    """The verdicts on one variant by one rule."""

    title: str
    rows: list[VerdictRow]


UNUSUAL = (
    "network", "network_options", "skip", "bias", "activity_decay", "output_precision",
    "rule_options", "inference_options", "start", "start_options", "penalties",
)  # fmt: skip
"""Columns of runs that are null where nothing is out of the ordinary."""

VERDICT_COLUMNS = [
    "loss there",
    "best loss found",
    "loss above best",
    "drift of η, octaves",
    "drift of β, octaves",
    "test accuracy there",
    "min. loss there (thesis)",
    "runs",
]


def verdict_groups(section: Section) -> list[VerdictGroup]:
    """The section's verdicts by variant, tuned shape and rule, or transferred cell."""
    verdicts = section.verdicts
    fixed = verdicts["rule"].eq(ZERO_SHOT)  # at all targets the same cell
    cell = verdicts[["weight_lr", "activity_lr"]].where(fixed)
    keys = ["variant", "tune_width", "tune_depth", "rule", cell["weight_lr"], cell["activity_lr"]]
    groups = [some for _, some in verdicts.groupby(keys, dropna=False, sort=False)]
    groups.sort(key=lambda some: rank(some["variant"].iloc[0]))
    return [_verdict_group(records(some)) for some in groups]


def _verdict_group(verdicts: list[dict[str, Any]]) -> VerdictGroup:
    v = verdicts[0]
    there = rates(Rates(v["weight_lr"], v["activity_lr"]))
    moved = "no cell to transfer" if there == NOTHING else f"transferred cell {there}"
    if v["rule"] != ZERO_SHOT:
        moved = f"by rule {v['rule']}, {law(v)}"
    tuned = ""
    if isfinite(v["tune_width"]) and isfinite(v["tune_depth"]):
        tuned = f", tuned at {size(Shape(int(v['tune_width']), int(v['tune_depth'])))}"
    title = f"{label(v['variant'])}: {moved}{tuned}"
    return VerdictGroup(title, [_verdict_row(row) for row in verdicts])


def _verdict_row(v: dict[str, Any]) -> VerdictRow:
    by_outcome = [
        f"{whole(v[f'runs_{outcome}'])} {OUTCOME_WORDS[outcome]}"
        for outcome in OUTCOMES
        if v[f"runs_{outcome}"] > 0
    ]
    seeds = f"{whole(v['seeds'])} seeds, {whole(v['cells'])} cells"
    numbers = [
        (loss(v["loss"]), _predicted(v)),
        (loss(v["best_loss"]), f"at {rates(Rates(v['best_weight_lr'], v['best_activity_lr']))}"),
        (excess(v["regret"]), interval(v["regret_low"], v["regret_high"], ratio=True)),
        _drift(v, "weight_lr"),
        _drift(v, "activity_lr"),
        (percent(v["accuracy"], v["accuracy_std"]), ""),
        (loss(v["min_train_loss"]), ""),
        (", ".join(by_outcome) or NOTHING, seeds),
    ]
    shape = size(Shape(int(v["width"]), int(v["depth"])))
    if numbers[0][0] == NOTHING and numbers[0][1]:  # a cell that did not train is a cell
        numbers[0] = (numbers[0][1], "did not train")
    shown = [(value, "" if value == NOTHING else remark) for value, remark in numbers]
    return VerdictRow(shape, str(v["verdict"]), shown, str(v["reason"]))


def _predicted(v: dict[str, Any]) -> str:
    """The cell that a rule predicts for the target; that of zero-shot transfer heads the group."""
    cell = Rates(v["weight_lr"], v["activity_lr"])
    return "" if v["rule"] == ZERO_SHOT or rates(cell) == NOTHING else f"at {rates(cell)}"


def _drift(v: dict[str, Any], rate: str) -> tuple[str, str]:
    drift = f"drift_{rate}"
    return octaves(v[drift]), interval(v[f"{drift}_low"], v[f"{drift}_high"])


def moved_table(section: Section) -> Table:
    """Losses and accuracy at the transferred cell, a row per variant and shape."""
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
    trained = runs[runs["outcome"].eq("trained")]
    finished = int(runs["outcome"].ne("failed").sum())
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


def counts_table(runs: pd.DataFrame) -> Table:
    """Runs by outcome, a row per variant and phase, and the compute they took."""
    columns = ["variant", "phase", *(OUTCOME_WORDS[o] for o in OUTCOMES), "all", "compute"]
    rows = []
    for variant in sorted(runs["variant"].unique(), key=rank):
        mine = runs[runs["variant"].eq(variant)]
        for phase in sorted(mine["phase"].unique(), reverse=True):  # tune, then transfer
            rows.append([label(variant), phase, *_counts(mine[mine["phase"].eq(phase)])])
    if len(rows) > 1:
        rows.append(["all", "", *_counts(runs)])
    return Table("Runs by outcome", columns, rows, headers=2)


def _counts(runs: pd.DataFrame) -> list[str]:
    by_outcome = [whole(int(runs["outcome"].eq(o).sum())) for o in OUTCOMES]
    return [*by_outcome, whole(len(runs)), duration(runs["seconds"].sum())]


def duration(seconds: float) -> str:
    """A time for a reader: "42 s", "12.5 min", "3.1 h"."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def failures_table(runs: pd.DataFrame) -> Table | None:
    """Causes of failed runs and how often each struck, None if no run failed."""
    causes = runs.loc[runs["outcome"].eq("failed"), "cause"].fillna("no cause recorded")
    if causes.empty:
        return None
    rows = [[str(cause), whole(count)] for cause, count in causes.value_counts().items()]
    return Table("Failed runs by cause", ["cause", "runs"], rows)


def settings_table(section: Section) -> Table:
    """Everything a reader needs to run it again, one setting a row."""
    runs = section.runs
    digest = _values(runs["dataset_digest"])
    rows = [
        ["data set", section.dataset + (f" (SHA-256 {digest[:16]}…)" if digest else "")],
        ["activation", f"{section.activation}{_skips(runs)}"],
        ["output", _values(runs["output"]).replace("_", " ")],
        ["parameterisation", _per_variant(section, "parameterisation")],
        ["learning rule", _per_variant(section, "rule")],
        ["batch size B", _values(runs["batch_size"])],
        ["weight updates", _values(runs["steps"])],
        ["evaluated every", _after(_values(runs["eval_every"]), "updates")],
        ["optimiser", _optimiser(runs)],
        ["inference", _inference(runs)],
        ["other settings", _others(runs)],
        ["β per sample, β/B", _beta_per_sample(section)],
        ["seeds", whole(runs["seed"].nunique())],
        ["numerical conventions", _after("version", _values(runs["conventions"]))],
        ["versions", _versions(runs)],
        ["devices", _devices(runs)],
        ["started", _dates(runs["started"])],
    ]
    kept = [row for row in rows if row[1]]
    return Table("Settings", ["setting", "value"], kept)


def _distinct(values: Iterable[Any]) -> list[str]:
    known = {v for v in values if v is not None and v == v}  # v == v: not NaN
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
    options: dict[str, Any] = {}
    for text in _distinct(runs["optimiser_options"]):
        try:
            options |= json.loads(text)
        except (ValueError, TypeError):
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
    """Settings that most runs do not have, where these have any."""
    found = {name: _values(runs[name]) for name in UNUSUAL}
    return ", ".join(f"{name} = {value}" for name, value in found.items() if value)


def _beta_per_sample(section: Section) -> str:
    """β/B of each variant's transferred cell: the step a sample's activities really take."""
    batch = section.runs["batch_size"].dropna()
    parts = []
    for variant in section.variants:
        cell = transferred(section.runs, section.verdicts, variant)
        if cell is not None and isfinite(cell.activity_lr) and not batch.empty:
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

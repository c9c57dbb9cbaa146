"""The runs and verdicts of the newest spec, where an experiment's name was used for several.

A verdict names a run of every shape that its experiment has (`run_ids`): runs with the settings of
these are the experiment's. Where nothing was judged yet, or an earlier version judged, the newest
run decides.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from results.figures.cells import CELL_KEYS
from results.schema.columns import RUNS
from results.schema.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

STEPS = "inference_steps"
"""The one setting that may follow from the shape: T = H."""

OWN = ("run_id", "experiment", *CELL_KEYS, "seed", STEPS)
SETTINGS = [column.name for column in RUNS if column.fixed and column.name not in OWN]
"""Columns that are equal for all runs of one variant of a spec."""

TARGET = list(TABLES["verdicts"].key)


def order(rows: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """Return the times by which runs are ordered, as `Ledger.runs` orders them."""
    import pandas as pd

    recorded, started = (
        pd.to_datetime(rows[name], utc=True, errors="coerce").astype("datetime64[us, UTC]")
        for name in ("recorded", "started")
    )
    return recorded.fillna(started)


def judged_ids(text: str | None) -> list[str]:
    """Return the ids in the column `run_ids` of a verdict; none where they were not recorded."""
    try:
        ids = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [str(run_id) for run_id in ids] if isinstance(ids, list) else []


def split_verdicts(verdicts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the verdicts of the newest spec, and those on other targets by older specs.

    Both hold the newest verdict on each target. Verdicts without a spec count as of the newest.
    """
    ordered = verdicts.sort_values("created", kind="stable")
    specified = ordered["spec"].map(lambda spec: isinstance(spec, str) and spec.startswith("{"))
    newest = ordered.loc[specified, "spec"].tail(1)
    older = specified & ~ordered["spec"].isin(newest)
    current = ordered[~older].drop_duplicates(TARGET, keep="last")
    others = ordered[older].drop_duplicates(TARGET, keep="last")
    judged = set(_keys(current, TARGET))
    return current, others[~_keys(others, TARGET).isin(judged)]


def newest_runs(runs: pd.DataFrame, verdicts: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs of the newest spec, and the variants whose verdicts are of an older one.

    Args:
        runs: of one experiment, data set and activation.
        verdicts: of the newest spec that was judged.
    """
    import pandas as pd

    kept = pd.Series(False, index=runs.index)
    overtaken = []
    named = _variants(verdicts)
    times = order(runs)
    for variant, mine in runs.groupby("variant", sort=False):
        if named and variant not in named:
            continue
        judged = verdicts[verdicts["variant"].eq(variant)]
        shown = _shown_by(judged, mine)
        if shown is not None:
            created = pd.to_datetime(judged["created"], utc=True).max()
            unjudged = mine[~shown & times[mine.index].gt(created)]
            if unjudged.empty:
                kept[mine.index] = shown
                continue
            overtaken.append(str(variant))
        kept[mine.index] = _as_newest(mine, times[mine.index])
    return runs[kept], overtaken


def _variants(verdicts: pd.DataFrame) -> set[str]:
    """Return the names of the variants of the spec of these verdicts; none where it has none."""
    names = set()
    for text in verdicts["spec"].dropna().unique():
        try:
            variants = json.loads(text).get("variants", ())
            names |= {str(v["name"] if isinstance(v, dict) else v) for v in variants}
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
            continue  # not what the ledger writes
    return names


def _keys(rows: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Return the values in these columns, as a tuple a row; a null is None."""
    import pandas as pd

    plain = rows[columns].astype(object).where(rows[columns].notna(), None)
    keys = list(plain.itertuples(index=False, name=None))
    return pd.Series(keys, index=rows.index, dtype=object)


def _shown_by(verdicts: pd.DataFrame, runs: pd.DataFrame) -> pd.Series[bool] | None:
    """Return which runs have the settings of the judged ones; None if no judged run is known."""
    known = [run_id for text in verdicts["run_ids"] for run_id in judged_ids(text)]
    keys = _keys(runs, [*SETTINGS, STEPS, "width", "depth"])
    judged = set(keys[runs["run_id"].isin(known)])
    return keys.isin(judged) if judged else None


def _as_newest(runs: pd.DataFrame, times: pd.Series[pd.Timestamp]) -> pd.Series[bool]:
    """Return which runs of a variant have the settings of the newest one."""
    newest_first = runs.loc[times.sort_values(kind="stable").index[::-1]]
    keys = _keys(newest_first, SETTINGS)
    alike = newest_first[keys.isin([keys.iloc[0]])]
    steps, depth = alike[STEPS], alike["depth"]
    fixed = steps.eq(steps.iloc[0]) | steps.isna() & steps.isna().iloc[0]
    grown = (steps * depth.iloc[0]).eq(steps.iloc[0] * depth)
    elsewhere = alike.index[depth.ne(depth.iloc[0]) & (fixed | grown)]
    rule = grown if len(elsewhere) and not fixed[elsewhere[0]] else fixed
    return runs.index.to_series().isin(alike.index[rule])

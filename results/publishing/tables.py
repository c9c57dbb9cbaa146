"""The tables of a ledger as others see them: without repetitions, the newest verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from results.publishing.places import replaced
from results.schema.tables import TABLES, columns
from results.untrusted import spreadsheet_cell

if TYPE_CHECKING:
    from results.ledger import Ledger

FORM = "csv"


def write_csv(
    ledger: "Ledger", place: Path, experiments: Sequence[str] = (), *, force: bool = False
) -> Mapping[str, int]:
    """Write every table as a CSV file, and `columns.csv` with the meanings of the columns.

    Texts that a spreadsheet would take for a formula get a "'" in front. A missing value is an
    empty cell, and NaN is "NaN".

    Args:
        ledger: the ledger.
        place: the folder, which is created.
        experiments: names of the experiments; none means all.
        force: whether to replace files that no export wrote.

    Returns:
        The number of rows of each table.

    Raises:
        LedgerError: the place has something else.
        OSError: it cannot be written to.
    """
    rows: dict[str, int] = {}
    with replaced(place, FORM, force=force) as folder:
        for name, frame in tables(ledger, experiments):
            _safe(frame).to_csv(folder / f"{name}.csv", index=False)
            rows[name] = len(frame)
        meanings = [columns(name).assign(table=name) for name in TABLES]
        whole = pd.concat(meanings)[["table", "name", "type", "unit", "description"]]
        whole.to_csv(folder / "columns.csv", index=False)
    return rows


def tables(ledger: "Ledger", experiments: Sequence[str] = ()) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name and the rows of every table, with columns of Arrow types."""
    chosen: dict[str, Any] = {"experiment": list(experiments)} if experiments else {}
    yield "runs", ledger.runs(arrow=True, **chosen)
    yield "curves", ledger.curves(arrow=True, **chosen)
    yield "layers", ledger.layers(arrow=True, **chosen)
    yield "verdicts", ledger.verdicts(arrow=True, **chosen)
    yield "measurements", ledger.measurements(arrow=True, **chosen)


def _safe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts no spreadsheet takes for formulas."""
    texts = {
        name: frame[name].map(spreadsheet_cell, na_action="ignore")
        for name in frame.columns
        if str(frame[name].dtype).startswith("string")
    }
    return frame.assign(**texts)

"""A folder that Hugging Face's hub and `datasets` take: Parquet files, a card, Croissant metadata.

The columns `host` and `pid` are left out: they say whose machines trained, and nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from results.errors import LedgerError
from results.publishing.card import card
from results.publishing.croissant import metadata
from results.publishing.facts import About, Facts, Published
from results.publishing.places import replaced
from results.publishing.tables import tables
from results.schema.tables import TABLES, columns

if TYPE_CHECKING:
    from results.ledger import Ledger

FORM = "huggingface"
PRIVATE = ("host", "pid")


def write_dataset(
    ledger: "Ledger",
    place: Path,
    experiments: Sequence[str] = (),
    about: About | None = None,
    *,
    force: bool = False,
) -> Mapping[str, int]:
    """Write the tables of a ledger as a data set that can be published and cited.

    The folder has `data/TABLE.parquet` for each table with rows, `README.md` (the card, with its
    metadata in front), `schema.json` and `croissant.json`.

    Args:
        ledger: the ledger.
        place: the folder, which is created.
        experiments: names of the experiments; none means all.
        about: title, authors and licence.
        force: whether to replace files that no export wrote.

    Returns:
        The number of rows of each table.

    Raises:
        LedgerError: the place has something else, or there are no runs.
        OSError: it cannot be written to.
    """
    about = about or About()
    with replaced(place, FORM, force=force) as folder:
        (folder / "data").mkdir()
        written, frames = [], {}
        for name, frame in tables(ledger, experiments):
            if len(frame):
                written.append(_write(folder, name, frame))
                frames[name] = frame
        if "runs" not in frames:
            raise LedgerError("the ledger has no runs to publish")
        facts = Facts.of(frames, about)
        schema = {
            table.name: json.loads(table.columns.to_json(orient="records")) for table in written
        }
        (folder / "schema.json").write_text(json.dumps(schema, indent=2) + "\n")
        croissant = metadata(facts, about, written)
        (folder / "croissant.json").write_text(json.dumps(croissant, indent=2) + "\n")
        (folder / "README.md").write_text(card(facts, about, written))
    return {table.name: table.rows for table in written}


def _write(folder: Path, name: str, frame: pd.DataFrame) -> Published:
    """Write a table, each column with its unit and its meaning."""
    table = TABLES[name]
    fields = [each for each in table.schema if each.name not in PRIVATE]
    kept = frame[[each.name for each in fields]]
    rows = pa.Table.from_pandas(kept, schema=pa.schema(fields), preserve_index=False)
    file = f"data/{name}.parquet"
    pq.write_table(rows.replace_schema_metadata(None), folder / file, compression="zstd")
    meanings = columns(name)
    return Published(
        name,
        rows.num_rows,
        file,
        sha256((folder / file).read_bytes()).hexdigest(),
        meanings[~meanings["name"].isin(PRIVATE)].reset_index(drop=True),
    )

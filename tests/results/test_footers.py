"""No footer of a Parquet file ends the process, whichever of its bytes are changed."""

import io
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fewer import every
from ledger_rows import run_row

import results
from results import DamagedFileWarning
from results.storage.footers import parse_footer
from results.storage.own_tables import TableError, read_parquet


def changed(columns: dict[str, object], step: int = 1) -> Iterator[bytes]:
    """A Parquet file with one byte changed, for every `step`-th byte and several values."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, store_schema=False, write_statistics=False)
    whole = sink.getvalue()
    for place in range(0, len(whole), step):
        byte = whole[place]
        for value in {0, 0x11, byte ^ 1, 0xFF} - {byte}:
            yield whole[:place] + bytes([value]) + whole[place + 1 :]


def fatal() -> bytes:
    """Return a footer at which Arrow ends the process of who asks for a column's description."""
    for data in changed({"run_id": ["a"], "depth": [1]}):
        try:
            parse_footer(data[-int.from_bytes(data[-8:-4], "little") - 8 :], len(data))
        except (OSError, ValueError, pa.ArrowException) as error:
            if "histogram size mismatch" in str(error):
                return data
    raise AssertionError("no change of a byte has this fault")


def test_a_table_is_read_or_refused(tmp_path: Path) -> None:
    path, refused = tmp_path / "mine.parquet", []
    columns = {"a": np.arange(4, dtype=np.float32), "target": [0, 1, 0, 1]}
    for data in changed(columns, every(3)):
        path.write_bytes(data)
        try:
            found = read_parquet([path])
            assert {len(column) for column in found.values()} == {4}
        except TableError as error:
            refused.append(str(error))
    assert any("histogram size mismatch" in message for message in refused)
    assert any("rows that the file declares" in message for message in refused)


def test_a_file_of_a_ledger_is_named_and_left_out(tmp_path: Path) -> None:
    ledger = results.open(tmp_path, create=True)
    ledger.append([run_row("sound")])
    data = fatal()
    size = int.from_bytes(data[-8:-4], "little") + 8
    footer, content = (blake2b(part, digest_size=8).hexdigest() for part in (data[-size:], data))
    path = tmp_path / "runs" / f"v6-{'0' * 16}-{footer}-{content}.parquet"
    path.write_bytes(data)
    with pytest.warns(DamagedFileWarning, match=path.name):
        assert list(results.open(tmp_path).runs()["run_id"]) == ["sound"]
    assert [damage.path for damage in results.open(tmp_path).check()] == [f"runs/{path.name}"]

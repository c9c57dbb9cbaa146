"""Fuzzers over what others may have written: specs, ledger files, checkpoints, data files.

Each runs for `MUPC_FUZZ_SECONDS` (default 10) and fails on an error that is not the project's own,
on an example that takes 20 s, and on 1 GB of memory.
"""

import contextlib
import gzip
import io
import json
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import fuzz
from hypothesis import strategies as st

import results
from pccore.data import DatasetError
from pccore.data.cifar10 import parse_batch
from pccore.data.files import read_unpacked
from pccore.data.idx import parse_idx
from results import LedgerError
from results.schema.tables import TABLES
from results.storage.claims import FOLDER as CLAIMS
from results.storage.claims import Claims
from results.storage.files import MAGIC, TRAILER, encode
from results.storage.folder import Folder
from results.storage.marker import NAME
from transfer import Experiment, SpecError

pytestmark = pytest.mark.slow

EXAMPLES = [
    path.read_text() for path in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["1e999", ".inf", "!!python/name:os.system", "&a", "*a", "<<", "~", "0x1"])
)  # fmt: skip


def edits(size: int) -> st.SearchStrategy[list[tuple[float, bytes]]]:
    """Return edits of a file: where, as a share of its length, and what is written there."""
    return st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=size)), min_size=1, max_size=6)


def edited(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    for share, new in changes:
        place = int(share * len(content))
        content = content[:place] + new + content[place + max(len(new), 1) :]
    return content


def test_spec_text() -> None:
    lines = st.sampled_from([line for text in EXAMPLES for line in text.splitlines()])
    texts = st.one_of(
        st.tuples(st.sampled_from(EXAMPLES), edits(5)).map(
            lambda pair: edited(pair[0].encode(), pair[1]).decode("utf-8", "replace")
        ),
        st.lists(lines | st.text(max_size=30), max_size=30).map("\n".join),
        st.recursive(
            SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ).map(lambda value: json.dumps(value)),
    )

    def attack(text: str) -> None:
        with contextlib.suppress(SpecError):
            Experiment.from_yaml(text)

    assert fuzz(texts, attack)


def _file(table: str, columns: dict[str, Any], options: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    kinds = {field.name: field.type for field in TABLES[table].schema}
    arrays = {
        name: pa.array([value] * count, kinds[name], from_pandas=False)
        for name, (value, count) in columns.items()
    }
    pq.write_table(pa.table(arrays), sink, **options)
    return sink.getvalue()


VALUES = {
    pa.string(): st.text(max_size=50) | st.sampled_from(["x" * 2**18, '{"variants": 5}']),
    pa.int64(): st.integers(1, 64) | st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(1e-3, 1e3) | st.floats(),
    pa.bool_(): st.booleans(),
    pa.timestamp("us", tz="UTC"): st.integers(-(2**63), 2**63 - 1),
}


@st.composite
def ledger_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a table and a file with matching digests: odd rows, sizes and encodings, odd footers."""
    table = draw(st.sampled_from(list(TABLES)))
    count = draw(st.sampled_from([0, 1, 2, 300, 200_000]))
    fields = {field.name: field.type for field in TABLES[table].schema}
    names = draw(st.lists(st.sampled_from(list(fields)), unique=True, min_size=1))
    complete = TABLES[table].required if draw(st.booleans()) else set()
    if complete and table == "runs":  # a place in the figures
        complete = complete | {"variant", "width", "depth", "weight_lr", "dataset", "activation"}
    columns = {}
    for name in [*names, *sorted(complete.difference(names))]:
        values = VALUES.get(fields[name], st.none())
        columns[name] = (draw(values if name in complete else st.none() | values), count)
    if count == 200_000:  # what the writer itself holds in memory
        columns = {
            name: (value if len(str(value)) < 100 else None, count)
            for name, (value, _) in columns.items()
        }
    options = {
        "compression": draw(st.sampled_from(["zstd", "gzip", "snappy", "none"])),
        "use_dictionary": draw(st.booleans()),
        "row_group_size": draw(st.sampled_from([10**6, 1000])),
    }
    data = _file(table, columns, options)
    if draw(st.booleans()):
        size = int.from_bytes(data[-TRAILER:-4], "little") + TRAILER
        footer = edited(data[-size:-TRAILER], draw(edits(3)))
        data = data[:-size] + footer + len(footer).to_bytes(4, "little") + MAGIC
    return table, data


def test_ledger_files(tmp_path: Path) -> None:
    place = tmp_path / "ledger"
    ledger = results.open(place, create=True)
    sound = {"run_id": "sound", "experiment": "one", "phase": "tune", "outcome": "trained"}
    ledger.append([{**sound, "started": ledger.now()}])

    def attack(planted: tuple[str, bytes]) -> None:
        table, data = planted
        size = int.from_bytes(data[-TRAILER:-4], "little") + TRAILER
        digests = (blake2b(part, digest_size=8).hexdigest() for part in (data[-size:], data))
        path = place / table / f"v6-{'0' * 16}-{'-'.join(digests)}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened = results.open(place)
                for query in (*TABLES, "now", "check", "experiments"):
                    getattr(opened, query)()
                assert "sound" in set(opened.runs()["run_id"])
                with contextlib.suppress(LedgerError):
                    results.report(opened, tmp_path / "report")
        finally:
            path.unlink()

    assert fuzz(ledger_files(), attack)


def test_records_of_a_ledger(tmp_path: Path) -> None:
    """The marker, the registers of drivers, and checkpoints."""
    place = tmp_path / "ledger"
    good = results.open(place, create=True)
    good.checkpoints.save(["a"], b"data" * 20)
    [checkpoint] = (place / "checkpoints").iterdir()
    saved, marker = checkpoint.read_bytes(), (place / NAME).read_bytes()
    register = {"about": "x", "host": "h", "machine": "m", "pid": 1, "beat": 1, "ended": False}
    inner = st.recursive(SCALARS, lambda one: st.lists(one, max_size=3))
    values = st.fixed_dictionaries({}, optional=dict.fromkeys([*register, "runs", "more"], inner))
    (place / CLAIMS).mkdir()

    def attack(one: tuple[list[tuple[float, bytes]], dict[str, Any]]) -> None:
        changes, odd = one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint.write_bytes(edited(saved, changes))
            assert good.checkpoints.load(["a"]) in (None, b"data" * 20)
            good.checkpoints.groups()
            (place / CLAIMS / "a.json").write_text(json.dumps({**register, "runs": [], **odd}))
            (place / CLAIMS / "b.json").write_bytes(edited(json.dumps(register).encode(), changes))
            Claims(Folder(place), "one").held_elsewhere()
            (place / NAME).write_bytes(edited(marker, changes))
            with contextlib.suppress(LedgerError):
                results.open(place)
            (place / NAME).write_bytes(marker)

    assert fuzz(st.tuples(edits(4), values), attack)


def test_data_files(tmp_path: Path) -> None:
    path = tmp_path / "data.gz"
    header = st.tuples(
        st.sampled_from([0x08, 0x0D, 0x0E, 0x01]), st.lists(st.integers(0, 2**32 - 1), max_size=65)
    ).map(
        lambda pair: (
            bytes([0, 0, pair[0], len(pair[1])])
            + b"".join(size.to_bytes(4, "big") for size in pair[1])
        )
    )
    contents = st.tuples(header | st.binary(max_size=100), st.binary(max_size=4000), st.booleans())

    def attack(one: tuple[bytes, bytes, bool]) -> None:
        start, rest, packed = one
        path.write_bytes(gzip.compress(start + rest) if packed else start + rest)
        with contextlib.suppress(DatasetError):
            parse_idx(read_unpacked(path, 10_000), "it")
        path.write_bytes(b"\x1f\x8b" + rest)
        with contextlib.suppress(DatasetError):
            read_unpacked(path, 10_000)
        with contextlib.suppress(DatasetError):
            parse_batch(rest, 1, "it")

    assert fuzz(contents, attack)


def test_what_a_ledger_encodes_it_reads() -> None:
    """The fuzzer's own names are right: a file of the ledger has them."""
    table = TABLES["layers"]
    file, data = encode(table, pa.Table.from_pylist([], table.schema))
    assert file.content == blake2b(data, digest_size=8).hexdigest()

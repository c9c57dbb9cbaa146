"""Malformed specs, ledgers and data files are read or rejected by the project's own errors.

The sentences are tested elsewhere; these inputs are malicious or damaged.
"""

import contextlib
import io
import os
import pickle
import random
import tarfile
import time
import warnings
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fewer import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import results
from pccore.data import DatasetError
from pccore.data.cifar10 import Cifar10, parse_batch
from pccore.data.files import read_unpacked, read_verified
from results import DamagedFileWarning, LedgerError
from results.storage.marker import NAME
from transfer import Experiment, SpecError, load

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))
GOOD = EXAMPLES[0].read_text()
TRACE = "executed"


class Trap:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (TRACE,)


@pytest.fixture(autouse=True)
def nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Check that no input executes code that leaves a trace in the current folder."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / TRACE).exists()


TAGS = [
    "!!python/object/apply:os.system [mkdir executed]",
    "!!python/object/new:os.mkdir [executed]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/tuple [1]",
    "!!binary aGVsbG8=",
    "!!set {a, b}",
    "!!timestamp 2026-01-01",
    "!include /etc/passwd",
    "!ENV ${HOME}",
]

NAMES = [
    *("..", ".", "../../etc/cron.d/x", "/etc/passwd", "a/b", "a\\b", "~", "~root", "$HOME", "`id`"),
    *("$(id)", "a;b", "a b", "a\n", "a\x00", ".hidden", "-rf", "--ledger", "con:", "%2e%2e"),
    *("é", "a\u202eb", "\u2024\u2024", "a" * 65, "${jndi:ldap://x}", "<script>", "'; drop table"),
]

HUGE = [
    *("9" * 101, "1e999999", "-1e999999", "0x10", "1_000", ".nan", ".inf", "1e-400", "1" * 5000),
    *("[[" * 9 + "]]" * 9, "{a: 1}", "[1, [2]]", "null", "''", "true", "1:30", "=", "<<", "? a"),
]


@pytest.mark.parametrize("tag", TAGS)
def test_rejects_yaml_tags(tag: str) -> None:
    with pytest.raises(SpecError, match="tags"):
        Experiment.from_yaml(f"name: {tag}\n{GOOD}")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_rejects_names_that_are_paths_or_shell_words(name: str) -> None:
    """Names become folders and words of shell commands."""
    values = yaml.safe_load(GOOD)
    with pytest.raises(SpecError, match="name"):
        Experiment.from_dict({**values, "name": name})


@pytest.mark.parametrize("name", NAMES[:6], ids=repr)
@pytest.mark.parametrize("key", ["dataset", "variants", "network"])
def test_rejects_paths_and_shell_words_as_registered_names(key: str, name: str) -> None:
    value = {"dataset": name, "variants": [name], "network": {"activation": name}}[key]
    with pytest.raises(SpecError, match=key):
        Experiment.from_dict({**yaml.safe_load(GOOD), key: value})


@pytest.mark.parametrize("number", HUGE, ids=lambda text: text[:12])
def test_rejects_malformed_numbers(number: str) -> None:
    lines = [line for line in GOOD.splitlines() if not line.strip().startswith("batch_size")]
    text = "\n".join(lines).replace("training:", f"training:\n  batch_size: {number}")
    with pytest.raises(SpecError):
        Experiment.from_yaml(text)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"---\n---\n", b"- a\n- b\n", b"just words"),
        *(
            b"%YAML 9.9\n---\na: 1\n",
            b"%TAG ! tag:x,2000:\n---\na: !x 1\n",
            b"a: |\n\tb",
            b"{",
            b"]",
        ),
        *(
            b"&a [*a]",
            b"? {a: 1}\n: 2\n",
            b"a: 1\n a: 2\n",
            b"name: x\rname: y",
            b"\x7fELF\x02\x01",
        ),
        *(pickle.dumps(Trap()), b"a: " + b"{" * 5000, b"a:\n" * 500_000, b"- " * 400_000),
        *(b"'" * 999_999, b"#" * 2_000_000, "a: \u2028b: 1".encode("utf-16"), b"a: 1\n...\nb: 2\n"),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_rejects_a_file_that_is_no_spec(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(SpecError) as error:
        load(path)
    assert len(str(error.value)) < 10_000
    assert time.process_time() - start < 20


@pytest.mark.parametrize("kind", ["folder", "missing", "loop", "pipe", "link to a device"])
def test_rejects_a_path_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "spec.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    with pytest.raises(SpecError, match="cannot read"):
        load(path)


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_rejects_arbitrary_bytes(content: bytes) -> None:
    path = Path("any.yaml")
    path.write_bytes(content)
    with pytest.raises(SpecError):
        load(path)


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(EXAMPLES), st.integers(0, 2**32))
def test_reads_or_rejects_a_damaged_spec(example: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(example.read_bytes())
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(content))
        content[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
    path = Path("changed.yaml")
    path.write_bytes(content)
    with contextlib.suppress(SpecError):
        load(path)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PLACES = [
    *((key,) for key in ("name", "dataset", "network", "variants", "training", "tune", "transfer")),
    *(("training", key) for key in ("batch_size", "steps", "optimiser", "inference", "penalties")),
    *(("tune", key) for key in ("width", "depth", "weight_lr", "activity_lr", "sampler", "seeds")),
    *(("transfer", key) for key in ("depths", "widths", "targets", "rules", "neighbourhood")),
]


@examples(300)
@given(st.sampled_from(PLACES), VALUES)
def test_reads_or_rejects_any_value_of_any_key(place: tuple[str, ...], value: Any) -> None:
    values = yaml.safe_load(GOOD)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with contextlib.suppress(SpecError):
        Experiment.from_dict(values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create a ledger with one run."""
    place = tmp_path / "ledger"
    row = {"run_id": "a", "experiment": "one", "phase": "tune", "outcome": "trained"}
    results.open(place, create=True).append([{**row, "started": datetime(2026, 1, 2, tzinfo=UTC)}])
    return place


MARKERS = [
    *(b"", b"\x00" * 100, b"null", b"[]", b"{}", b"1", b'"mupc-ledger"', b'{"format": 1}', b"nan"),
    *(b'{"format": "mupc-ledger", "layout": null}', b'{"format": "mupc-ledger", "layout": "1"}'),
    *(b'{"format": "mupc-ledger", "layout": 1e999}', b'{"format": "mupc-ledger", "layout": [1]}'),
    *(b'{"format": "mupc-ledger", "layout": 99}', b'{"layout": 1}', b"\xff", b"[" * 100_000),
    *(pickle.dumps(Trap()), b'{"a":' * 50_000, b"9" * 10_000, b'{"format": "MUPC-LEDGER"}'),
]


@pytest.mark.parametrize("content", MARKERS, ids=lambda content: repr(content[:40]))
def test_rejects_a_ledger_with_a_wrong_marker(folder: Path, content: bytes) -> None:
    (folder / NAME).write_bytes(content)
    with pytest.raises(LedgerError):
        results.open(folder)


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def named(data: bytes, version: str = "1") -> str:
    """Return a file name whose checksums match a malicious file's content."""
    size = int.from_bytes(data[-8:-4], "little") + 8
    footer, content = (blake2b(part, digest_size=8).hexdigest() for part in (data[-size:], data))
    return f"v{version}-{'0' * 16}-{footer}-{content}.parquet"


MALICIOUS = [
    *(b"", b"PAR1", b"PAR1" * 1000, b"\xff" * 8 + b"PAR1", pickle.dumps(Trap()), b"\x00" * 5000),
    parquet(run_id=["b"]),
    parquet(run_id=[1], experiment=[2]),
    parquet(other=["x"]),
    parquet(run_id=[["b"]], experiment=[{"a": 1}]),
    parquet(run_id=[None], experiment=[None], started=[None]),
    parquet(run_id=["b"], experiment=["one"], started=["tomorrow"]),
    parquet(run_id=["b"], experiment=["one"], width=[2**62], final_train_loss=[float("nan")]),
]


@pytest.mark.parametrize("data", MALICIOUS, ids=lambda data: repr(data[:8]) + str(len(data)))
def test_skips_or_rejects_a_file_with_matching_checksums(folder: Path, data: bytes) -> None:
    (folder / "runs" / named(data)).write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFileWarning)
        try:
            found = results.open(folder).runs()
        except LedgerError:
            return
    assert "a" in found["run_id"].to_list()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "x.parquet",
            "runs.pkl",
            "v1-a-b-c.parquet",
            "v0.parquet",
            "_metadata",
            "..parquet",
            "a b",
        ),
        *(f"v{'9' * 10}-{'0' * 16}-{'0' * 16}-{'0' * 16}.parquet", "-.parquet", "\u202e.parquet"),
    ],
)
def test_ignores_files_with_foreign_names(folder: Path, name: str) -> None:
    (folder / "runs" / name).write_bytes(pickle.dumps(Trap()))
    assert results.open(folder).runs()["run_id"].to_list() == ["a"]


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.integers(0, 2**32))
def test_check_finds_any_changed_byte(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    (path,) = (folder / "runs").glob("*.parquet")
    good = path.read_bytes()
    place = chance.randrange(len(good))
    path.write_bytes(
        good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :]
    )
    try:
        assert [damage.path for damage in results.open(folder).check()] == [f"runs/{path.name}"]
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("device", [None, "/dev/zero"], ids=["pipe", "link to a device"])
def test_rejects_data_files_that_are_no_files(tmp_path: Path, device: str | None) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    if device:
        path.symlink_to(device)
    else:
        os.mkfifo(path)
    reads = [
        lambda: read_unpacked(path, 100),
        lambda: read_verified(path, 5, "0" * 64),
        lambda: Cifar10()._read_archive(path),
    ]
    for read in reads:
        with pytest.raises(DatasetError, match="not a regular file"):
            read()
    with pytest.raises(DatasetError, match="needs"):
        Cifar10().find(tmp_path)


ARCHIVE_MEMBERS = [
    *("../escaped", "/tmp/mupc-escaped", "cifar-10-batches-bin/../../escaped", "link", "device"),
]


def archive(member: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        if member == "link":
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        elif member == "device":
            info.type = tarfile.CHRTYPE
        info.size = 4 if info.isreg() else 0
        tar.addfile(info, io.BytesIO(b"evil"))
    return sink.getvalue()


@pytest.mark.parametrize("trusted", [True, False], ids=["digest right", "digest wrong"])
@pytest.mark.parametrize("member", ARCHIVE_MEMBERS)
def test_archive_writes_no_other_files(tmp_path: Path, member: str, trusted: bool) -> None:
    data = tmp_path / "data"
    data.mkdir()
    content = archive(member)
    (data / "cifar-10-binary.tar.gz").write_bytes(content)
    source = Cifar10(batch_size=1, sha256=sha256(content).hexdigest() if trusted else "0" * 64)
    with pytest.raises(DatasetError):
        source.load(data)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [
        "cifar-10-binary.tar.gz"
    ]


@examples(100)
@given(st.binary(max_size=4000), st.integers(1, 2))
def test_parses_or_rejects_arbitrary_images(content: bytes, pictures: int) -> None:
    try:
        pixels, labels = parse_batch(content, pictures, "it")
    except DatasetError:
        return
    assert pixels.shape == (pictures, 3072)
    assert labels.max() < 10


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_rejects_arbitrary_bytes_after_the_gzip_mark(content: bytes) -> None:
    path = Path("packed.gz")
    path.write_bytes(b"\x1f\x8b" + content)
    for read in (lambda: read_unpacked(path, 100), lambda: read_verified(path, 5, "0" * 64)):
        with pytest.raises(DatasetError):
            read()

"""The ledger in an object store: a real S3 server over HTTP, by environment and by URI."""

import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
from fewer import every
from ledger_rows import curve_rows, run_row, verdict_row
from s3_server import BUCKET, s3_server

import results
from results import LedgerError
from results.schema.tables import TABLES


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield variables


@pytest.fixture
def place(
    server: dict[str, str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A place in the bucket for this test, found by the environment."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return f"{BUCKET}/{request.node.name}"


def test_another_process_reads_appended_rows(place: str) -> None:
    ledger = results.open(place, create=True)
    ledger.append([run_row("a", depth=8), run_row("b", depth=16)], curve_rows("a"))
    ledger.append_verdicts([verdict_row()])
    other = results.open(place)
    assert other.runs()["run_id"].to_list() == ["a", "b"]
    assert other.runs(depth=16)["run_id"].to_list() == ["b"]
    assert len(other.curves(run_id="a")) == 3
    assert len(other.verdicts()) == 1
    assert other.check() == []


def test_the_uri_may_contain_the_server_but_no_keys(
    place: str, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results.open(place, create=True).append([run_row("a")])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = urlsplit(server["AWS_ENDPOINT_URL"]).netloc
    uri = f"{place}?scheme=http&endpoint_override={host}"
    ledger = results.open(uri)
    assert ledger.runs()["run_id"].to_list() == ["a"]
    assert repr(ledger) == f"results.open({uri!r})"
    with pytest.raises(LedgerError, match="put keys into AWS_ACCESS_KEY_ID") as error:
        results.open(uri.replace("://", "://id:S3CRET@"))
    assert "S3CRET" not in str(error.value)


def test_compaction_keeps_the_runs_in_fewer_objects(place: str) -> None:
    ledger = results.open(place, create=True)
    for number in range(6):
        ledger.append([run_row(f"{number:02}")])
    before = ledger.runs()
    assert ledger.compact() > 0
    assert ledger.compact() == 0
    assert results.open(place).runs().equals(before)
    assert ledger.check() == []


def test_concurrent_writers(place: str) -> None:
    results.open(place, create=True)

    def write(writer: int) -> None:
        ledger = results.open(place, create=True)
        for number in range(5):
            ledger.append([run_row(f"{writer}-{number}"), run_row("shared")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(results.open(place).runs()) == 4 * 5 + 1


@pytest.mark.parametrize(
    ("uri", "create", "sentence"),
    [
        (f"{BUCKET}/nothing", False, "there is no ledger at"),
        ("s3://no-such-bucket/runs", True, "cannot write to .*NO_SUCH_BUCKET"),
        ("s3://no-such-bucket/runs", False, "there is no ledger at"),
        ("s3://", False, "cannot read"),
        (f"{BUCKET}/x?scheme=gopher", False, "cannot open|cannot read"),
        (f"{BUCKET}/x?endpoint=localhost", False, "only region, scheme, endpoint_override"),
    ],
)
def test_errors_where_there_is_no_ledger(place: str, uri: str, create: bool, sentence: str) -> None:
    with pytest.raises(LedgerError, match=sentence) as error:
        results.open(uri, create=create)
    assert len(str(error.value).splitlines()) == 1


def test_quarantines_a_damaged_object(place: str) -> None:
    ledger = results.open(place, create=True)
    for name in ("a", "b"):
        ledger.append([run_row(name, depth=8 if name == "a" else 16)])
    victim = ledger._reader.files(TABLES["runs"])[0]
    with ledger._folder.filesystem.open_output_stream(ledger._folder.path(victim.path)) as sink:
        sink.write(b"not what was written")
    [moved] = ledger.quarantine()
    assert moved.path == victim.path
    assert ledger._folder.read(f"quarantine/{victim.path}") == b"not what was written"
    ledger._folder.move(victim.path, f"quarantine/{victim.path}")  # as another process has
    assert ledger.check() == []
    assert len(results.open(place).runs()) == 1


def test_readers_and_compactions_at_once(place: str) -> None:
    """No reader fails, loses a row, or calls a file damaged that another one has merged."""
    results.open(place, create=True)
    end = time.monotonic() + 1.5 / every(2)
    written: set[str] = set()

    def write() -> None:
        ledger = results.open(place)
        while time.monotonic() < end:
            ledger.append([run_row(f"{len(written):03}")], curve_rows(f"{len(written):03}"))
            written.add(f"{len(written):03}")

    def compact() -> None:
        while time.monotonic() < end:
            results.open(place).compact()

    def read() -> int:
        looks = 0
        while time.monotonic() < end or not looks:
            known = set(written)
            ledger = results.open(place)
            assert known <= set(ledger.runs()["run_id"])
            assert ledger.check() == []
            looks += 1
        return looks

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(6) as pool:
            done = [pool.submit(work) for work in (write, compact, compact, read, read, read)]
            assert all(job.result() for job in done[3:])
            for job in done:
                job.result()
    assert set(results.open(place).runs()["run_id"]) == written


def test_weights_are_kept_and_swept_in_the_store(place: str) -> None:
    ledger = results.open(place, create=True)
    run_id, arrays = "0" * 20, {"layers.0.weight": np.ones((3, 2), np.float32)}
    digest = ledger.weights.save(run_id, arrays, {"variant": "mupc"})
    ledger.append([run_row(run_id, weights_digest=digest)])
    ledger.weights.save("1" * 20, arrays, {"variant": "mupc"})
    other = results.open(place)
    with other.claims("one") as claims:
        other.remove_unrecorded_weights(claims)
    kept = other.kept("0")
    np.testing.assert_array_equal(kept.arrays["layers.0.weight"], arrays["layers.0.weight"])
    assert kept.description == {"run_id": run_id, "variant": "mupc"}
    assert [info.base_name[:20] for info in other.weights._files()] == [run_id]
    assert other.check() == []

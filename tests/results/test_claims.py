"""Claims: drivers on one ledger share runs, and those of dead drivers become free."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from s3_server import BUCKET, s3_server

import results
from results import Claims
from results.storage import claims as module
from results.storage.claims import EXPIRY_SECONDS, FOLDER, this_machine
from results.storage.folder import STALE_SECONDS, Folder


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield variables


@pytest.fixture(params=["disk", "S3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "disk":
        return str(tmp_path / "runs")
    for name, value in request.getfixturevalue("server").items():
        monkeypatch.setenv(name, value)
    return f"{BUCKET}/{request.node.originalname}"


def dead_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def register(folder: Path, name: str = "other", **changes: object) -> None:
    """Write the register of a driver on another machine."""
    content = {"about": "digits", "host": "node7", "machine": "node7", "pid": 7, "beat": 1}
    content |= {"ended": False, "runs": ["a"]} | changes
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / FOLDER / f"{name}.json").write_text(json.dumps(content))


def test_each_run_is_granted_to_one_of_the_drivers_that_claim_it(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.05)
    ledger = results.open(place, create=True)
    drivers, runs = 2, ["a", "b", "c", "d"]
    together = Barrier(drivers)

    def claim(number: int) -> list[str]:
        with ledger.claims(str(number)) as claims:
            granted = []
            for run in runs:
                together.wait()
                granted += claims.take([run])
            together.wait()
            return granted

    with ThreadPoolExecutor(drivers) as threads:
        found = list(threads.map(claim, range(drivers)))
    granted = [run for each in found for run in each]
    assert len(set(granted)) == len(granted)  # never to two
    assert len(granted) >= len(runs) - 1  # to none only if all gave way to each other every time


def test_of_two_drivers_that_see_a_run_free_the_later_one_gives_way(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.0)
    ledger = results.open(place, create=True)
    with ledger.claims("one") as one, ledger.claims("two") as two:
        write, granted = one._write, list[set[str]]()

        def write_late(add: set[str] | None = None, **others: Any) -> None:
            if add and not granted:
                granted.append(two.take(["a"]))  # after the first look of one
            write(add or (), **others)

        monkeypatch.setattr(one, "_write", write_late)
        assert one.take(["a", "b"]) == {"b"}
        assert granted == [{"a"}]


def test_a_claim_holds_until_it_is_dropped(place: str) -> None:
    ledger = results.open(place, create=True)
    with ledger.claims("one") as one:
        assert not one.met
        assert one.take(["a", "b"]) == {"a", "b"}
        assert one.take(["a"]) == {"a"}  # its own
        with ledger.claims("two") as two:
            assert two.take(["b", "c"]) == {"c"}
            assert (one.held_elsewhere(), two.held_elsewhere()) == ({"c"}, {"a", "b"})
            assert one.met
            assert two.met
            assert str(two.others()[0]) == f"one on {socket.gethostname()}, process {os.getpid()}"
            one.release(["b"])
            one._write()  # its next sign of life
            assert two.take(["b"]) == {"b"}
        assert one.held_elsewhere() == set()
        assert one.met  # two may have recorded runs


def test_drivers_leave_no_file(place: str) -> None:
    ledger = results.open(place, create=True)
    with ledger.claims("one") as one:
        one.take(["a"])
        with ledger.claims("two"):
            pass
        assert one.others() == []
    assert Folder(place).entries(FOLDER) == []


def test_silence_is_measured_by_the_clock_of_the_driver_that_waits(tmp_path: Path) -> None:
    now = [1e6]
    register(tmp_path)
    with Claims(Folder(tmp_path), "waiting", clock=lambda: now[0]) as claims:
        assert claims.take(["a"]) == set()
        now[0] += EXPIRY_SECONDS - 1
        assert claims.take(["a"]) == set()
        register(tmp_path, beat=2)
        os.utime(tmp_path / FOLDER / "other.json", (0, 0))  # its machine's clock is off by decades
        now[0] += EXPIRY_SECONDS - 1
        assert claims.take(["a"]) == set()
        now[0] += EXPIRY_SECONDS
        assert claims.take(["a"]) == {"a"}
        assert claims.others() == []


@pytest.mark.parametrize(
    ("machine", "free"),
    [(this_machine(), {"a"}), (f"{this_machine()} of another container", set())],
)
def test_a_killed_driver_of_this_machine_holds_nothing(
    tmp_path: Path, machine: str, free: set[str]
) -> None:
    register(tmp_path, machine=machine, pid=dead_process())
    with Claims(Folder(tmp_path), "again") as claims:
        assert claims.take(["a"]) == free


def test_the_register_of_a_machine_that_died_is_removed_after_a_day(tmp_path: Path) -> None:
    register(tmp_path)
    yesterday = time.time() - STALE_SECONDS - 60
    os.utime(tmp_path / FOLDER / "other.json", (yesterday, yesterday))
    with Claims(Folder(tmp_path), "one") as claims:
        assert claims.take(["a"]) == {"a"}
        assert not claims.met


def test_registers_that_cannot_be_deleted_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of another user, in a folder with the sticky bit."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    register(tmp_path, ended=True)
    monkeypatch.setattr(Folder, "remove", refuse)
    with Claims(Folder(tmp_path), "one") as claims:
        assert claims.take(["a"]) == {"a"}


def test_registers_that_are_none_are_ignored(tmp_path: Path) -> None:
    register(tmp_path, "ended", ended=True)
    register(tmp_path, "empty")
    (tmp_path / FOLDER / "empty.json").write_text("")
    (tmp_path / FOLDER / "list.json").write_text("[1]")
    with Claims(Folder(tmp_path), "one") as claims:
        assert claims.take(["a"]) == {"a"}

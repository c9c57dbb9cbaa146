"""Killed and concurrent processes lose, repeat and tear nothing."""

import os
import random
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from fewer import every
from ledger_processes import (
    GROUP,
    POINTS,
    POINTS_OF_DEATH,
    compact,
    compact_and_die,
    group,
    received,
    start,
    waiting,
    write,
)
from ledger_rows import assert_same, counted, everything, files, run_row

import results
from results import Ledger
from results.schema.tables import Table
from results.storage import folder as folders
from results.storage.files import File


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def groups_in(ledger: Ledger) -> set[str]:
    """Return the groups in the ledger; check that each is complete and there once."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs, curves = ledger.runs(), ledger.curves()
    assert runs["run_id"].is_unique
    groups = Counter(run_id.rpartition("-")[0] for run_id in runs["run_id"])
    assert set(groups.values()) <= {GROUP}
    points = Counter(curves["run_id"])
    assert set(points.values()) <= {POINTS}
    # Curves are read after runs, so that newer ones may be among them.
    assert points.keys() >= set(runs["run_id"])
    return set(groups)


def test_kills_of_a_writer_at_any_moment(place: Path) -> None:
    chance = random.Random(2)
    finished: set[str] = set()
    for attempt in range(15 // every(2)):
        writer, reports = start(write, place, f"{attempt}", 10**9)
        finished.add(reports.recv())
        begun = time.monotonic()
        finished.add(reports.recv())
        # Kill at any moment of the following appends, whatever they take on this machine.
        time.sleep(chance.uniform(0, 2) * (time.monotonic() - begun))
        writer.kill()
        writer.join()
        finished.update(received(reports))
        ledger = results.open(place)
        found = groups_in(ledger)
        assert found >= finished
        # Only the append in progress may be there without having been reported.
        assert len(found) <= len(finished) + attempt + 1
        assert ledger.check() == []
    before = counted(ledger)
    ledger.compact()
    assert_same(counted(ledger), before)


def test_concurrent_writers_readers_and_compactions(place: Path) -> None:
    ledger = results.open(place, create=True)
    writers = [start(write, place, name, 10**9) for name in ("x", "y")]
    compactors = [start(compact, place) for _ in range(2)]
    finished: set[str] = set()
    seen: set[str] = set()
    looks = merged = 0
    # Run until every kind of work has overlapped every other.
    while looks < 4 or merged < 20 // every(2) or len(finished) < 30 // every(2):
        for _, reports in writers:
            finished.update(waiting(reports))
        merged += sum(number for _, reports in compactors for number in waiting(reports))
        now = groups_in(ledger)
        assert now >= seen | finished
        seen, looks = now, looks + 1
    for process, reports in writers + compactors:
        process.kill()
        process.join()
        finished |= {report for report in received(reports) if isinstance(report, str)}
    found = groups_in(ledger)
    assert found >= seen | finished
    assert len(found) <= len(finished) + len(writers)
    ledger.compact()
    assert groups_in(ledger) == found
    assert len(files(place)) == len(files(place, "curves")) == 1
    assert ledger.check() == []


@pytest.fixture
def four(place: Path) -> Ledger:
    """A ledger of four groups."""
    ledger = results.open(place, create=True)
    for number in range(4):
        ledger.append(*group(f"g.{number}"))
    return ledger


@pytest.mark.parametrize("point", POINTS_OF_DEATH)
def test_kills_of_a_compaction(place: Path, four: Ledger, point: str) -> None:
    before = counted(four)
    process, reports = start(compact_and_die, place, point)
    process.join()
    assert received(reports) == []
    assert process.exitcode == -9
    assert_same(counted(four), before)
    assert four.check() == []
    four.compact()
    assert_same(counted(four), before)
    assert_same(counted(results.open(place)), before)
    [merged], [curves] = files(place), files(place, "curves")
    assert pq.read_metadata(merged).num_rows == 4 * GROUP
    assert pq.read_metadata(curves).num_rows == 4 * GROUP * POINTS


def test_sweeps_old_temporary_files_of_a_killed_writer(place: Path, four: Ledger) -> None:
    process, _ = start(compact_and_die, place, "before it has its name")
    process.join()
    [left] = [place / name for name in everything(place) if name.endswith(".tmp")]
    foreign = left.with_name(".notes.swp")
    foreign.touch()
    four.compact()
    assert left.exists()  # it may be another process's that is still at it
    yesterday = time.time() - 25 * 3600
    for path in (left, foreign):
        os.utime(path, (yesterday, yesterday))
    four.compact()
    assert not left.exists()
    assert foreign.exists()


def test_repeats_a_listing_that_misses_a_merged_file_and_its_sources(
    place: Path, four: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing takes time: here a whole compaction happens during it."""
    before = four.runs()
    other = results.open(place)
    real = folders.Folder.entries
    listings = []

    def slow(self: folders.Folder, name: str = "") -> list[pafs.FileInfo]:
        if self is not four._folder or name != "runs":
            return real(self, name)
        listed = real(self, name)
        listings.append(listed)
        if len(listings) > 1:
            return listed
        other.compact()
        still_there = {info.path for info in real(self, name)}
        return [info for info in listed if info.path in still_there]

    monkeypatch.setattr(folders.Folder, "entries", slow)
    answer = four.runs()
    assert len(listings) == 2
    assert_same((answer,), (before,))


def test_files_that_vanish_between_listing_and_reading(
    place: Path, four: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = four.runs()
    other = results.open(place)
    scan, scans = four._reader.scan, []

    def late(*arguments: object) -> object:
        if not scans:
            other.append([run_row("new")])
            other.compact()
        scans.append(arguments)
        return scan(*arguments)

    monkeypatch.setattr(four._reader, "scan", late)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = four.runs()
    assert len(scans) == 2
    assert_same((answer[answer["run_id"] != "new"].reset_index(drop=True),), (before,))


def test_a_compaction_overtaken_by_another(
    place: Path, four: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counted(four)
    other = results.open(place)
    scan = four._reader.scan

    def overtaken(*arguments: object) -> object:
        other.compact()
        return scan(*arguments)

    monkeypatch.setattr(four._reader, "scan", overtaken)
    assert four.compact() == 0
    monkeypatch.undo()
    assert_same(counted(four), before)


def test_does_not_merge_large_files(
    place: Path, four: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(place)
    monkeypatch.setattr("results.storage.compaction.SMALL_BYTES", 1)
    assert four.compact() == 0
    assert files(place) == before


def test_merges_in_bounded_batches_repeatedly(
    place: Path, four: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counted(four)
    bound = int(2.5 * files(place)[0].stat().st_size)
    monkeypatch.setattr("results.storage.compaction.MERGED_BYTES", bound)
    scan, merged = four._reader.scan, []

    def watched(table: Table, batch: list[File], *arguments: Any) -> Any:
        if len(arguments) == 1:  # of whole rows, not of keys
            merged.append([file.size for file in batch])
        return scan(table, batch, *arguments)

    monkeypatch.setattr(four._reader, "scan", watched)
    assert four.compact() == 6
    assert all(sum(sizes) <= bound for sizes in merged)
    # of runs twice two files, then the two merged ones; of curves, which are smaller, four
    assert [len(sizes) for sizes in merged] == [2, 2, 2, 4]
    assert len(files(place)) == len(files(place, "curves")) == 1
    monkeypatch.undo()
    assert_same(counted(four), before)

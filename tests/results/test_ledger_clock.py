"""What is written later counts, whatever the clocks of the writing machines say."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ledger_rows import files, run_row, verdict_row

import results
from results import Ledger
from results.storage import clock

AHEAD = datetime.now(UTC) + timedelta(days=2)
BEHIND = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return results.open(tmp_path / "ledger", create=True)


@pytest.mark.parametrize("earlier", [AHEAD, BEHIND])
def test_a_later_verdict_replaces_one_by_another_clock(ledger: Ledger, earlier: datetime) -> None:
    ledger.append_verdicts([verdict_row(verdict="drifted", created=earlier)])
    now = results.open(ledger._folder.root).now()
    assert now > max(earlier, datetime.now(UTC) - timedelta(minutes=1))
    ledger.append_verdicts([verdict_row(verdict="held", created=now)])
    assert list(ledger.verdicts()["verdict"]) == ["held"]


def test_times_of_one_writer_increase_when_its_clock_is_set_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Back(datetime):
        @classmethod
        def now(cls, tz=None):
            return BEHIND

    before = ledger.now()
    monkeypatch.setattr(clock, "datetime", Back)
    times = [before, *(ledger.now() for _ in range(3))]
    assert times == sorted(set(times))


def test_sees_rows_of_other_writers_and_merged_files(ledger: Ledger) -> None:
    other = results.open(ledger._folder.root)
    assert other.now() < AHEAD
    for day in range(3):
        created = AHEAD + timedelta(days=day)
        ledger.append_measurements([{"quantity": "q", "value": day, "created": created}])
    ledger.compact()
    assert other.now() > AHEAD + timedelta(days=2)


def test_the_first_result_and_the_last_failure_count(ledger: Ledger) -> None:
    def later(outcome: str, cause: str, started: datetime) -> None:
        """Record a run as another process would."""
        recorded = results.open(ledger._folder.root).now()
        row = run_row("a", outcome=outcome, cause=cause, started=started, recorded=recorded)
        ledger.append([row])
        assert len(ledger.runs()) == 1

    later("failed", "first", AHEAD)
    later("failed", "second", BEHIND)
    assert ledger.runs()["cause"].item() == "second"
    later("trained", "third", AHEAD)
    later("trained", "fourth", BEHIND)
    assert ledger.runs()["cause"].item() == "third"


def test_runs_without_the_column_are_ordered_by_their_start(ledger: Ledger) -> None:
    ledger.append([run_row("a", started=AHEAD, cause="old", outcome="failed")])
    assert ledger.now() > AHEAD
    ledger.append([run_row("a", started=BEHIND, recorded=ledger.now(), cause="new",
                           outcome="failed")])  # fmt: skip
    assert ledger.runs()["cause"].item() == "new"


def test_a_file_swept_by_a_clock_ahead_is_written_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(ledger._folder.root)
    link, swept = os.link, []

    def link_late(source: Path, target: Path) -> None:
        if not swept:
            swept.append(source)
            source.unlink()
        link(source, target)

    monkeypatch.setattr(os, "link", link_late)
    ledger.append([run_row("a")])
    assert swept
    assert len(files(place)) == 1
    assert len(ledger.runs()) == 1

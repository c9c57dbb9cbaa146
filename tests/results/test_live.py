"""A ledger in memory answers as the ledger itself does, and reads each file once."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from s3_server import BUCKET, s3_server
from synthetic_ledger import run, seeds, thesis_like, verdict

import results
from results.errors import LedgerError
from results.live.ledger import LiveLedger
from results.page.sections import collect
from results.storage.announcements import Announcement, Planned
from results.storage.reading import Reader
from results.vocabulary import OutcomeLabel


def read(live: LiveLedger) -> list[tuple[int, int]]:
    return list(live.refresh())


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


@pytest.fixture
def ledger(tmp_path: Path) -> results.Ledger:
    opened = results.open(tmp_path / "runs", create=True)
    fake = thesis_like("one", depths=(16,), seeds=2)
    for depth in (8, 16):
        opened.append([row for row in fake.run_rows if row["depth"] == depth])
    opened.append(seeds(0.1, 1.0, 0.2, "diverged", experiment="two"))
    opened.append_verdicts(fake.verdict_rows)
    return opened


def test_answers_are_those_of_the_ledger(ledger: results.Ledger) -> None:
    live = LiveLedger(ledger)
    read(live)
    assert live.experiments() == ledger.experiments() == ["one", "two"]
    for name in ("one", "two"):
        same(live.runs(experiment=name), ledger.runs(experiment=name))
        same(live.verdicts(experiment=name), ledger.verdicts(experiment=name))
        counted = ledger.runs(["outcome"], experiment=name)["outcome"].value_counts()
        found = live.counts[name].outcomes
        assert {word: number for word, number in found.items() if number} == dict(counted)


def test_sections_of_the_report_are_the_same(ledger: results.Ledger) -> None:
    live = LiveLedger(ledger)
    read(live)
    for one, other in zip(collect(live, None), collect(ledger, None), strict=True):
        same(one.runs, other.runs)
        same(one.verdicts, other.verdicts)
        same(one.moved, other.moved)


def test_each_file_is_read_once(ledger: results.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    scan = Reader.scan

    def recorded(self: Reader, table: Any, files: Any, *rest: Any) -> Any:
        opened.extend(file.path for file in files)
        return scan(self, table, files, *rest)

    live = LiveLedger(ledger)
    read(live)
    live.runs(experiment="one")
    monkeypatch.setattr(Reader, "scan", recorded)
    assert read(live) == []
    live.runs(experiment="one")
    assert opened == []
    ledger.append(seeds(0.3, 1.0, 0.4, experiment="one"))
    assert read(live)[-1] == (4, 4)
    found = live.runs(experiment="one")
    assert len(opened) == 2  # the one new file: for the counts, and for the runs
    assert len(set(opened)) == 1
    same(found, ledger.runs(experiment="one"))


def test_a_failure_that_was_trained_later_counts_as_trained(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    live = LiveLedger(ledger)
    failed = seeds(0.1, 1.0, "failed", "failed")
    ledger.append(failed)
    read(live)
    assert live.counts["digits-relu"].outcomes[OutcomeLabel.FAILED] == 2
    trained = run(0.1, 1.0, 0.2)
    assert trained["run_id"] == failed[0]["run_id"]
    ledger.append([trained])
    read(live)
    found = live.counts["digits-relu"]
    assert found.runs == 2
    assert (found.outcomes[OutcomeLabel.FAILED], found.outcomes[OutcomeLabel.TRAINED]) == (1, 1)


def test_compaction_meanwhile_changes_nothing(ledger: results.Ledger) -> None:
    live = LiveLedger(ledger)
    read(live)
    before, counts = live.runs(experiment="one"), live.counts["one"].outcomes
    assert ledger.compact() > 0
    read(live)
    same(live.runs(experiment="one"), before)
    assert live.counts["one"].outcomes == counts


@pytest.mark.filterwarnings("ignore::results.DamagedFileWarning")
def test_a_damaged_file_is_named_and_the_others_are_shown(ledger: results.Ledger) -> None:
    rows = seeds(0.3, 1.0, 0.4, experiment="three")
    before = set(Path(ledger._folder.root).glob("runs/*.parquet"))
    ledger.append(rows)
    (path,) = set(Path(ledger._folder.root).glob("runs/*.parquet")) - before
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    live = LiveLedger(ledger)
    read(live)
    live.runs(experiment="three")
    assert set(live.damaged) == {f"runs/{path.name}"}
    assert "one" in live.experiments()
    assert len(live.runs(experiment="one")) == len(ledger.runs(experiment="one"))


def test_rows_that_cannot_be_true_are_left_out_and_counted(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    true = run(0.1, 1.0, 0.2)
    ledger.append([true, run(0.5, 1.0, 0.1) | {"run_id": "0" * 20}])
    live = LiveLedger(ledger)
    read(live)
    assert list(live.runs(experiment="digits-relu")["run_id"]) == [true["run_id"]]
    assert live.unproven("digits-relu") == 1


def test_a_folder_that_is_gone_is_an_error(ledger: results.Ledger) -> None:
    live = LiveLedger(ledger)
    read(live)
    Path(ledger._folder.root).rename(Path(ledger._folder.root).with_name("elsewhere"))
    assert read(live) == []
    assert live.experiments() == []


def test_ledger_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        ledger = results.open(f"{BUCKET}/live", create=True)
        live = LiveLedger(ledger)
        assert not live.local
        ledger.append(seeds(0.1, 1.0, 0.2, 0.3))
        ledger.append_verdicts([verdict()])
        read(live)
        same(live.runs(experiment="digits-relu"), ledger.runs())
        ledger.append(seeds(0.2, 1.0, 0.2))
        assert read(live)[-1] == (2, 2)
        assert live.counts["digits-relu"].runs == 3


def test_announcements_are_read_as_written(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    planned = Planned({"mupc": {"weight_lr": (0.1, 0.2)}}, ((32, 8), (32, 16)), 1)
    first = Announcement("digits", "tune", 3, 12, None, False, planned)
    ledger.announcements.write(first)
    last = Announcement("digits", "transfer", 9, 12, 4.5, True, planned)
    ledger.announcements.write(last)
    ledger.announcements.write(Announcement("other", "tune", 0, 1, 1.0))
    assert ledger.announcements.read()["digits"] == last
    assert set(ledger.announcements.read()) == {"digits", "other"}
    assert ledger.check() == []


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b'{"experiment": "a"}', b"\xff", b"[" * 100_000,
        b'{"experiment":"a","phase":"tune","done":-1,"total":1,"seconds_left":null,"ended":false}',
        b'{"experiment":"a","phase":"tune","done":1e99,"total":1,"seconds_left":1,"ended":false}',
    ],
)  # fmt: skip
def test_an_announcement_that_is_none_is_ignored(content: bytes, tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    ledger.announcements.write(Announcement("digits", "tune", 3, 12, None))
    (path,) = (tmp_path / "runs" / "progress").iterdir()
    path.write_bytes(content)
    assert ledger.announcements.read() == {}


def test_a_ledger_without_a_cell_has_no_experiment(tmp_path: Path) -> None:
    live = LiveLedger(results.open(tmp_path / "runs", create=True))
    assert read(live) == []
    assert live.experiments() == []
    with pytest.raises(LedgerError):
        collect(live, None)

"""A ledger that several users share, and folders that one of them may not write to."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_rows import everything, files, run_row

import results
from results import LedgerError
from results.page.report import ReportError, ensure_writable
from results.storage.folder import Folder
from results.storage.reading import EPOCH, Reader

NOBODY = 65534


@pytest.fixture
def sticky() -> Iterator[Path]:
    """A ledger of root in folders with the sticky bit, used by another user."""
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        ledger = results.open(place / "ledger", create=True)
        for run_id in "ab":
            ledger.append([run_row(run_id)])
        ledger.checkpoints.save(["c"], b"data")
        for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
            folder.chmod(stat.S_ISVTX | 0o777)
        os.seteuid(NOBODY)
        try:
            yield place / "ledger"
        finally:
            os.seteuid(0)


def test_only_own_files_are_merged(sticky: Path) -> None:
    ledger = results.open(sticky)
    ledger.ensure_writable()
    theirs = set(files(sticky))
    for run_id in "xyz":
        ledger.append([run_row(run_id)])
    before = len(ledger.runs())
    assert ledger.compact() == 2
    assert len(set(files(sticky)) - theirs) == 1
    assert theirs < set(files(sticky))
    assert len(ledger.runs()) == before == 5
    assert ledger.compact() == 0


def test_the_epoch_of_another_user_stays(sticky: Path) -> None:
    os.seteuid(0)
    (sticky / EPOCH).write_text("of root")
    os.seteuid(NOBODY)
    ledger = results.open(sticky)
    reader = Reader(ledger._folder)
    before = reader._epoch()
    for run_id in "xy":
        ledger.append([run_row(run_id)])
    assert ledger.compact() == 1
    assert (sticky / EPOCH).read_text() == "of root"
    assert reader._epoch() != before


@pytest.mark.parametrize("epoch", ["of root", None])
def test_merging_that_fails_adds_no_file(
    sticky: Path, monkeypatch: pytest.MonkeyPatch, epoch: str | None
) -> None:
    """On a file system whose rules are not known beforehand."""
    monkeypatch.setattr(Folder, "removable", lambda *_: True)
    if epoch:
        os.seteuid(0)
        (sticky / EPOCH).write_text(epoch)
        os.seteuid(NOBODY)
    ledger = results.open(sticky)
    for run_id in "xy":
        ledger.append([run_row(run_id)])
    counts = [len(files(sticky))]
    for _ in range(3):
        with pytest.raises(LedgerError, match="Operation not permitted"):
            ledger.compact()
        counts.append(len(files(sticky)))
        assert len(ledger.runs()) == 4
    assert max(counts) == counts[0] == 4


def test_a_checkpoint_of_another_user_stays_with_a_warning(sticky: Path) -> None:
    ledger = results.open(sticky)
    assert ledger.checkpoints.groups() == [("c",)]
    with pytest.warns(RuntimeWarning, match="a checkpoint stays: cannot delete"):
        ledger.checkpoints.remove(["c"])
    assert ledger.checkpoints.groups() == [("c",)]


@pytest.mark.parametrize("folder", [".", "runs", "checkpoints"])
def test_every_folder_is_tried(sticky: Path, folder: str) -> None:
    ledger = results.open(sticky)
    before = everything(sticky)
    ledger.ensure_writable()
    assert everything(sticky) == before
    os.seteuid(0)
    (sticky / folder).chmod(0o755)
    os.seteuid(NOBODY)
    with pytest.raises(LedgerError, match=r"cannot write to '.*ledger': Permission denied"):
        ledger.ensure_writable()
    assert everything(sticky) == before


def test_a_report_of_another_user_is_refused_before_drawing(sticky: Path) -> None:
    os.seteuid(0)
    out = sticky.parent / "report"
    out.mkdir()
    out.chmod(stat.S_ISVTX | 0o777)
    (out / "index.html").touch()
    os.seteuid(NOBODY)
    with pytest.raises(ReportError, match=r"cannot write the report.*another user's"):
        ensure_writable(out)
    ensure_writable(sticky.parent / "new" / "deep")
    assert not (sticky.parent / "new").exists()

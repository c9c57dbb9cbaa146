"""The ready callbacks, on experiments whose losses a formula gives; and callbacks that raise."""

import io
import json
import logging
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from command import TINY
from formula_pool import FormulaPool

import mupc
import results
import transfer
from transfer import Experiment, TransferResult
from transfer.engine.progress import Progress

EXPERIMENT = Experiment.from_dict({**TINY, "variants": ["bp"]})

BLOCK = 32_768  # bytes


def run(folder: Path, progress: Sequence[Progress], **options: Any) -> TransferResult:
    ledger = results.open(folder / "runs", create=True)
    return transfer.run(EXPERIMENT, ledger, FormulaPool(**options), progress=progress)


class Fragile(Progress):
    """Raises at every event."""

    def __init__(self) -> None:
        self.calls = 0

    def _raise(self, *_: object) -> None:
        self.calls += 1
        raise RuntimeError("no space\nleft")

    begin = end = phase = workload = pending = trained = finished = verdict = _raise


class Recorder(Progress):
    """Keeps the names of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, experiment: str, ledger: results.Ledger) -> None:
        self.events.append(f"begin {experiment}")

    def finished(self, *_: object) -> None:
        self.events.append("finished")

    def end(self, error: BaseException | None) -> None:
        self.events.append(f"end {type(error).__name__}")


def test_callback_that_raises_loses_no_run_and_warns_once(tmp_path: Path) -> None:
    fragile, after = Fragile(), Recorder()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = run(tmp_path, [fragile, after])
    ours = [str(each.message) for each in caught if "callback" in str(each.message)]
    assert len(ours) == 1
    assert ours[0].startswith("the callback Fragile raised RuntimeError: no space")
    assert fragile.calls > 10
    undisturbed = run(tmp_path / "other", [])
    assert found.verdicts[0]["loss"] == undisturbed.verdicts[0]["loss"]
    rows = results.open(tmp_path / "runs").runs()
    assert after.events.count("finished") == len(rows) > 0
    assert (after.events[0], after.events[-1]) == ("begin tiny", "end NoneType")


def test_the_end_is_told_how_the_job_ended(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [recorder], interrupted_after=2)
    assert recorder.events[-1] == "end KeyboardInterrupt"


def test_refuses_what_is_no_callback(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"objects of mupc\.Progress, got <built-in function print"):
        run(tmp_path, [print])  # type: ignore[list-item]


def test_bar_shows_runs_and_failures(tmp_path: Path) -> None:
    out = io.StringIO()
    run(tmp_path, [mupc.ProgressBar(file=out)], failing=2)
    last = out.getvalue().split("\r")[-1]
    total = len(results.open(tmp_path / "runs").runs())
    assert f"{total}/{total}" in last
    assert "2 failed" in last
    assert "tiny transfer: 100%" in last


def test_log_has_phases_verdicts_and_failures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="mupc"):
        run(tmp_path, [mupc.ProgressLog()], failing=1)
    lines = [record.getMessage() for record in caplog.records if record.name == "mupc"]
    assert lines[0] == "tiny: started"
    assert any(line.startswith("tiny: tune, 0 of ") for line in lines)
    assert any(line.startswith("tiny: bp at width 8, depth 3 by zero_shot: ") for line in lines)
    assert lines[-1].startswith("tiny: complete, ")
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "failed: out of memory at s3://...@bucket/x" in warning.getMessage()


def test_live_export_has_every_run_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "optuna.log"
    for _ in range(2):  # the second time nothing is new
        run(tmp_path, [mupc.LiveExport("optuna", path, seconds=0)])
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(path))
        )
        studies = optuna.get_all_study_summaries(storage)
        exported = sum(study.n_trials for study in studies)
        assert exported == len(results.open(tmp_path / "runs").runs())
    assert not (tmp_path / ".optuna.log.lock").exists()


def test_live_export_of_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form must be one of optuna, mlflow, tensorboard"):
        mupc.LiveExport("csv")


def logged(file: Path) -> Iterator[bytes]:
    """Yield the records of a file of W&B, which has the format of LevelDB's log after 7 bytes."""
    data, place, whole = file.read_bytes(), 7, b""
    while place < len(data):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the end of one
            yield whole
            whole = b""


def test_wandb_keeps_every_run_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    found = run(tmp_path, [mupc.WandbRun(folder=tmp_path)])
    (file,) = tmp_path.rglob("run-*.wandb")
    values: dict[str, list[str]] = {}
    for data in logged(file):
        record = Record.FromString(data)
        for item in (*record.history.item, *record.summary.update):
            name = item.key or "/".join(item.nested_key)
            values.setdefault(name, []).append(item.value_json)
    rows = results.open(tmp_path / "runs").runs()
    losses = [float(each) for each in values["bp/final_train_loss"]][: len(rows)]
    assert sorted(losses) == pytest.approx(sorted(rows["final_train_loss"]))
    verdict = found.verdicts[0]["verdict"]
    assert json.loads(values["verdict/bp 8x3 zero_shot"][-1]) == verdict


def test_every_event_reaches_every_callback() -> None:
    """A new event that the broadcast forgets would be lost."""
    from transfer.engine.progress import Broadcast

    events = {name for name in vars(Progress) if not name.startswith("_")}
    assert events == {name for name in vars(Broadcast) if not name.startswith("_")}

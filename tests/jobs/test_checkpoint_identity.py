"""Only a group's own checkpoint is continued from, whatever lies in its place."""

import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pool_trainers import SMALL

import pccore
import results
from jobs import LocalPool
from jobs.pools.checkpointer import Checkpointer
from jobs.pools.worker import train_group
from pccore.training.snapshots import Identity, encode
from results import DamagedFileWarning, Ledger
from transfer.engine.driver import train
from transfer.engine.pool import Group
from transfer.engine.runs import Run

DIGITS = pccore.data.load("digits")
SECONDS = struct.pack("<d", 1.0)
CONFIG = replace(SMALL, steps=100, eval_every=50)  # leaves the level of chance


def runs_of(seeds: tuple[int, ...]) -> list[Run]:
    lanes = [pccore.Lane(0.03, 0.5, seed) for seed in seeds]
    return [Run("digits", DIGITS.digest, "mupc", CONFIG, lane) for lane in lanes]


def group_of(runs: list[Run]) -> Group:
    lanes, run_ids = (tuple(getattr(run, name) for run in runs) for name in ("lane", "run_id"))
    return Group("digits", None, runs[0].config, lanes, run_ids)


def checkpoint_of(runs: list[Run]) -> bytes:
    """Return the last checkpoint of the training of a group."""
    saved: list[bytes] = []
    train_group(group_of(runs), checkpointer=Checkpointer(None, saved.append, 0, threading.Event()))
    return saved[-1]


@pytest.fixture(autouse=True)
def every_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer a checkpoint after every weight update."""
    monkeypatch.setattr("pccore.training.snapshots._INTERVAL", 0.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return results.open(tmp_path / "ledger", create=True)


OWN, OTHER = runs_of((0, 1)), runs_of((2, 3))


def recorded(ledger: Ledger) -> dict[str, float]:
    """Train the group by a pool and a driver; return the losses in the ledger."""
    with LocalPool(1, checkpoints=ledger.checkpoints) as pool:
        train("test", OWN, ledger, pool)
    frame = ledger.runs()
    assert ledger.checkpoints.groups() == []
    return dict(zip(frame["run_id"], frame["final_train_loss"], strict=True))


@pytest.fixture(scope="module")
def truth() -> dict[str, float | None]:
    outcomes = pccore.fit_many(CONFIG, DIGITS, [run.lane for run in OWN])
    losses = {run.run_id: each.final_train_loss for run, each in zip(OWN, outcomes, strict=True)}
    assert None not in losses.values()
    return losses


def test_the_file_of_another_group_in_its_place_is_refused(
    ledger: Ledger, tmp_path: Path, truth: dict[str, float | None]
) -> None:
    """The checksum of the file is right, and its arrays have the shapes of this group's."""
    folder = tmp_path / "ledger" / "checkpoints"
    ledger.checkpoints.save([run.run_id for run in OTHER], checkpoint_of(OTHER))
    [other] = folder.iterdir()
    ledger.checkpoints.save([run.run_id for run in OWN], b"")
    [own] = set(folder.iterdir()) - {other}
    other.replace(own)
    with pytest.warns(DamagedFileWarning, match="of another group of runs; its runs start again"):
        assert recorded(ledger) == truth


def at_step(step: int) -> bytes:
    identity = Identity.of(CONFIG, DIGITS, [run.lane for run in OWN])
    return SECONDS + encode(step, {"a": np.zeros(1)}, identity)


FOREIGN: dict[str, Callable[[], bytes]] = {
    "another group's content": lambda: checkpoint_of(OTHER),
    "step 10^15": lambda: at_step(10**15),
    "step -50": lambda: at_step(-50),
    "no snapshot": lambda: SECONDS,
    "nothing": lambda: b"",
    **{
        f"seconds {seconds}": lambda seconds=seconds: (
            struct.pack("<d", seconds) + checkpoint_of(OWN)[8:]
        )
        for seconds in (float("nan"), -1.0, float("inf"), 1e300)
    },
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_content_that_is_not_of_this_group_is_refused(
    ledger: Ledger, truth: dict[str, float | None], content: Callable[[], bytes]
) -> None:
    """The file says that it is this group's, and its checksum is right."""
    ledger.checkpoints.save([run.run_id for run in OWN], content())
    with pytest.warns(RuntimeWarning, match="training starts from the beginning"):
        assert recorded(ledger) == truth
    assert (ledger.runs()["seconds"] >= 0).all()


def test_its_own_is_continued_from(
    ledger: Ledger, truth: dict[str, float | None], recwarn: pytest.WarningsRecorder
) -> None:
    """With the seconds that were spent before it."""
    content = struct.pack("<d", 5000.0) + checkpoint_of(OWN)[8:]
    ledger.checkpoints.save([run.run_id for run in OWN], content)
    assert recorded(ledger) == truth
    assert (ledger.runs()["seconds"] >= 2500).all()
    assert not [warning for warning in recwarn if "starts" in str(warning.message)]

"""Training of one group in a worker: its data, its layout, its lanes; faults become outcomes."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import cast

import jax

import pccore
from jobs.errors import one_sentence
from jobs.pools.checkpointer import Checkpointer, of_stopped
from jobs.pools.compilation import timed_compilation
from jobs.pools.devices import Device, default_device, describe
from jobs.pools.function_process import call_function
from jobs.pools.kept_weights import KeptLanes
from jobs.pools.layouts import choose_layout
from pccore.data import Dataset
from pccore.training.config import Lane, TrainingConfig
from transfer.engine.pool import Group, GroupResult, Worker, failed_group
from transfer.functions import TrainingFunction

Loader = Callable[[str, str | None], Dataset | TrainingFunction]

_loading = Lock()


def load_dataset(name: str, data_dir: str | None) -> Dataset:
    """Load a data set, once per process and for all its threads. Raises `DatasetError`."""
    with _loading:
        return _load(name, data_dir)


@lru_cache(maxsize=4)
def _load(name: str, data_dir: str | None) -> Dataset:
    return pccore.data.load(name, Path(data_dir) if data_dir else None)


def train_group(
    group: Group,
    *,
    load: Loader = load_dataset,
    on_progress: Callable[[int], None] | None = None,
    device: Device | None = None,
    checkpointer: Checkpointer | None = None,
) -> GroupResult:
    """Train a group on this thread's default device, in the layout that suits it there.

    Faults become outcomes: a group of several lanes that fails is halved and trained again, until
    the memory suffices or the faulty lane is alone.

    Args:
        group: what to train.
        load: returns its data set or its training function, unless the group has it.
        on_progress: called with the weight updates done at each evaluation; it may raise `Stopped`.
        device: this thread's default device, None to look it up.
        checkpointer: restores the group's checkpoint and saves new ones.

    Raises:
        Stopped: `on_progress` or the checkpointer raised it.
    """
    started = datetime.now(UTC)
    clock = time.perf_counter()
    with timed_compilation() as compilation:
        try:
            dataset = group.own or load(group.dataset, group.data_dir)
        except Exception as error:  # a worker must survive any damaged file
            return failed_group(group, one_sentence(error), worker=this_worker())
        if isinstance(dataset, TrainingFunction):
            poll = _polled(on_progress, checkpointer)
            return call_function(group, dataset, this_worker(), poll)
        assert isinstance(group.config, TrainingConfig)
        layout = choose_layout(group.config, device or describe(default_device()))
        config = layout.apply(group.config)
        kept = KeptLanes(group, dataset)
        lanes = range(len(group.lanes))
        stopped: dict[str, bytes] = {}
        outcomes = _train_lanes(config, dataset, lanes, kept, on_progress, checkpointer, stopped)
    seconds = time.perf_counter() - clock
    whole = seconds + (checkpointer.seconds if checkpointer else 0.0)
    return GroupResult(
        group=group,
        outcomes=tuple(outcomes),
        seconds=whole,
        started=started,
        worker=this_worker(),
        compile_seconds=min(compilation.seconds, seconds),
        weights=kept.weights(outcomes),
        path=config.rule.path(config.network),
        snapshots={
            run_id: of_stopped(snapshot, whole / len(group.lanes))
            for run_id, snapshot in stopped.items()
        },
    )


def _polled(
    on_progress: Callable[[int], None] | None, checkpointer: Checkpointer | None
) -> Callable[[], None]:
    """Return what a training function's worker calls now and then, which raises `Stopped`."""

    def poll() -> None:
        if on_progress is not None:
            on_progress(0)
        if checkpointer is not None:
            checkpointer.stop_if_asked()

    return poll


def this_worker() -> Worker:
    """Return this process and its device, as they are recorded with each run."""
    return Worker(
        device=default_device().device_kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        jax_version=jax.__version__,
        jaxlib_version=version("jaxlib"),
    )


def _train_lanes(
    config: pccore.TrainingConfig,
    dataset: Dataset,
    lanes: Sequence[int],
    kept: KeptLanes,
    on_progress: Callable[[int], None] | None,
    snapshots: pccore.Snapshots | None,
    stopped: dict[str, bytes],
) -> list[pccore.Outcome]:
    """Train these lanes of the group, in halves where they fail together.

    Snapshots of lanes that stop before their last update are added to `stopped`.
    """
    run_ids = [kept.group.run_ids[lane] for lane in lanes]
    try:
        return pccore.fit_many(
            config,
            dataset,
            [cast(Lane, kept.group.lanes[lane]) for lane in lanes],
            on_progress=on_progress,
            on_evaluation=kept.callback(lanes),
            snapshots=snapshots,
            until=kept.group.until,
            on_stop=lambda found: stopped.update(zip(run_ids, found, strict=True)),
        )
    except (Exception, SystemExit) as error:  # out of memory, a fault in XLA: never a dead worker
        cause = one_sentence(error)
    # Outside the handler: the error's traceback would keep the failed attempt's arrays alive.
    if len(lanes) == 1:
        return [pccore.Outcome.failed(cause)]
    middle = len(lanes) // 2
    return [
        outcome
        for half in (lanes[:middle], lanes[middle:])
        for outcome in _train_lanes(config, dataset, half, kept, on_progress, None, stopped)
    ]

"""TensorBoard: a folder of event files, one per run, with its curves and its hyperparameters."""

import re
from pathlib import Path
from typing import Protocol

from jobs.bridges.extras import require
from jobs.bridges.places import create
from jobs.bridges.source import Source, TrainedRun
from jobs.errors import CommandError
from results.vocabulary import OutcomeLabel

CURVES = ("train_loss", "test_loss", "test_accuracy")
FINAL = ("final_train_loss", "min_train_loss", "test_loss", "test_accuracy", "layers_learned")
_EVENTS = "events.out.tfevents.{seconds}.mupc"
_PURPOSE = "export to TensorBoard"


class _Message(Protocol):
    """A message of Protocol Buffers."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802


class TensorboardEvents:
    """A folder with `EXPERIMENT/VARIANT/SHAPE/RUN/events...`, to which only new files are added.

    Failed runs are left out: they have nothing to show.

    Args:
        place: the folder.

    Raises:
        CommandError: the place is a file, or TensorBoard is not installed.
    """

    def __init__(self, place: Path) -> None:
        if place.exists() and not place.is_dir():
            raise CommandError(f"--to {place}: it exists, and is no folder")
        require("tensorboard", "tensorboard", _PURPOSE)
        self.place = place
        self._written: dict[str, set[str]] = {}

    def update(self, source: Source) -> int:
        """Write the runs that are new; return how many."""
        count = 0
        for experiment in source.names:
            folder = self.place / _file_name(experiment)
            if experiment not in self._written:
                there = folder.glob("*/*/*/events.*.mupc")
                self._written[experiment] = {path.parent.name for path in there}
            written = self._written[experiment]
            for runs in source.new(written, experiment):
                for run in runs:
                    written.add(run.key)
                    if run.row["outcome"] != OutcomeLabel.FAILED:
                        _write(folder, run)
                        count += 1
        return count


def _write(folder: Path, run: TrainedRun) -> None:
    """Write the event file of a run."""
    arm = run.arm_in_full
    place = folder / _file_name(arm) / _file_name(run.shape) / str(run.row["run_id"])
    place.mkdir(parents=True, exist_ok=True)
    name = _EVENTS.format(seconds=int(run.started.timestamp()))
    create(place / name, lambda path: _write_events(path, run))


def _write_events(path: Path, run: TrainedRun) -> None:
    writer = require("tensorboard.summary.writer.record_writer", "tensorboard", _PURPOSE)
    event = require("tensorboard.compat.proto.event_pb2", "tensorboard", _PURPOSE).Event
    hparams = require("tensorboard.plugins.hparams.summary_v2", "tensorboard", _PURPOSE)
    summary = require("tensorboard.compat.proto.summary_pb2", "tensorboard", _PURPOSE).Summary
    begun, ended = run.started.timestamp(), run.ended.timestamp()
    last = int(run.row["steps_done"] or run.row["steps"] or 0)

    def scalar(name: str, value: float, step: int) -> _Message:
        share = step / last if last else 1.0
        values = [summary.Value(tag=name, simple_value=value)]
        when = begun + min(share, 1.0) * (ended - begun)
        return event(wall_time=when, step=step, summary=summary(value=values))

    with path.open("xb") as file:
        records = writer.RecordWriter(file)

        def write(message: _Message) -> None:
            records.write(message.SerializeToString())

        write(event(wall_time=begun, file_version="brain.Event:2"))
        chosen = {**run.settings, **run.rates, "seed": int(run.row["seed"])}
        start = hparams.hparams_pb(chosen, str(run.row["run_id"]), begun)
        write(event(wall_time=begun, summary=start))
        for point in run.curve:
            for name in CURVES:
                if point[name] is not None:
                    write(scalar(name, float(point[name]), int(point["step"])))
        for name in FINAL:
            if run.row[name] is not None:
                write(scalar(f"final/{name}", float(run.row[name]), last))
        write(event(wall_time=ended, summary=summary(value=[_session_end(ended)])))


def _session_end(ended: float) -> _Message:
    """Return the mark of a finished session, which TensorBoard makes only with TensorFlow."""
    metadata = require("tensorboard.plugins.hparams.metadata", "tensorboard", _PURPOSE)
    plugin = require("tensorboard.plugins.hparams.plugin_data_pb2", "tensorboard", _PURPOSE)
    status = require("tensorboard.plugins.hparams.api_pb2", "tensorboard", _PURPOSE)
    summary = require("tensorboard.compat.proto.summary_pb2", "tensorboard", _PURPOSE)
    info = plugin.SessionEndInfo(status=status.STATUS_SUCCESS, end_time_secs=ended)
    content = metadata.create_summary_metadata(plugin.HParamsPluginData(session_end_info=info))
    end: _Message = summary.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=content)
    return end


def _file_name(text: str) -> str:
    """Return a text as the name of a folder."""
    name = re.sub(r"[^A-Za-z0-9._@-]+", "_", text)
    return f"_{name}" if name.startswith(".") else name

"""What was measured about layouts, remembered in the project's cache folder: a JSON file a shape.

A file is written whole under a temporary name and published by renaming it. One that cannot be read
is ignored with a warning: it costs a measurement. All may be deleted at any time.
"""

import hashlib
import json
import os
import warnings
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.pools.compile_cache import user_cache
from jobs.pools.devices import Device
from jobs.pools.layouts import Layout
from pccore import TrainingConfig
from transfer.spec.networks import stacks

FORMAT = 1
# Settings of a training that its speed does not depend on, or that a layout sets.
IMMATERIAL = ("parameterisation", "output", "layers_per_product")


@dataclass(frozen=True)
class Trial:
    """A layout that was measured.

    Attributes:
        knob: the field of `Layout` that was being chosen; its trials took turns.
        layout: what was tried.
        seconds: of a training step, per lane; None where it could not be trained.
    """

    knob: str
    layout: Layout
    seconds: float | None


@dataclass(frozen=True)
class Measurement:
    """What measuring a shape on a device found.

    Attributes:
        layout: the choice.
        trials: what it was chosen from, knob by knob; the first of each knob was the best so far.
    """

    layout: Layout
    trials: tuple[Trial, ...]


_unpublished: dict[Path, Measurement] = {}  # where the cache folder cannot be written


def folder() -> Path:
    """Where the files are."""
    return user_cache() / "layouts"


def place(config: TrainingConfig, device: Device) -> Path:
    """The file of a shape on a device."""
    network = stacks(config.network)[0]
    text = json.dumps(shape_key(config, device), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return folder() / f"{network.depth}x{network.width}-{digest}.json"


def shape_key(config: TrainingConfig, device: Device) -> dict[str, Any]:
    """All that the choice may depend on, as it stands in the file."""
    network = asdict(config.network)
    gib = None if device.memory is None else round(device.memory / 2**30)
    return {
        "device": {**asdict(device), "memory": gib},
        "jax": _jax_version(),
        "network": {name: v for name, v in network.items() if name not in IMMATERIAL},
        "batch_size": config.batch_size,
        "rule": repr(config.rule),
    }


def recall(config: TrainingConfig, device: Device) -> Measurement | None:
    """What is remembered of a shape on a device; None, with a warning, where that is unusable."""
    path = place(config, device)
    try:
        facts = json.loads(path.read_text())
        measurement = _read(facts, shape_key(config, device))
        measurement.layout.apply(config)
    except (FileNotFoundError, NotADirectoryError):
        return _unpublished.get(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = f"{type(error).__name__}: {error}"
        warnings.warn(f"the remembered layout {path} is ignored ({why})", stacklevel=2)
        return _unpublished.get(path)
    return measurement


def remember(config: TrainingConfig, device: Device, measurement: Measurement) -> None:
    """Keep a measurement for later processes, or, with a warning, for this one alone."""
    path = place(config, device)
    facts = {
        "format": FORMAT,
        "shape": shape_key(config, device),
        "layout": asdict(measurement.layout),
        "trials": [
            {"knob": trial.knob, **asdict(trial.layout), "seconds_per_step": trial.seconds}
            for trial in measurement.trials
        ],
    }
    try:
        _publish(path, json.dumps(facts, indent=2) + "\n")
    except OSError as error:
        _unpublished[path] = measurement
        warnings.warn(f"the measured layout cannot be kept: {error}", stacklevel=2)


def _publish(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)


def _read(facts: Any, wanted: dict[str, Any]) -> Measurement:
    if facts["format"] != FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, not {FORMAT}")
    if facts["shape"] != json.loads(json.dumps(wanted)):
        raise ValueError("it is about another shape or device")
    trials = (
        Trial(str(trial["knob"]), _layout(trial), trial["seconds_per_step"])
        for trial in facts["trials"]
    )
    layout = _layout(facts["layout"])
    if layout.batch_shards > wanted["device"]["count"]:
        raise ValueError(f"its {layout.batch_shards} shards need as many devices")
    return Measurement(layout, tuple(trials))


def _layout(facts: dict[str, Any]) -> Layout:
    values = {field.name: facts[field.name] for field in fields(Layout)}
    for name, value in values.items():
        if type(value) is not int or value < (name != "layers_per_product"):
            raise ValueError(f"{name} is {value!r}")
    return Layout(**values)


@cache
def _jax_version() -> str:
    return version("jax")

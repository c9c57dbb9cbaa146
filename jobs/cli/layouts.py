"""`mupc layouts`: how the arithmetic of every shape is laid out on this machine, and why."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

import pccore
import transfer
from jobs.cli.tables import number, plain_table, screen
from jobs.pools import environment, layout_memory
from jobs.pools.devices import Device, describe, shared_out
from jobs.pools.layout_choice import Choice, Source, known_layout, measured_layout, wants_measuring
from jobs.pools.layout_memory import Trial
from jobs.pools.layouts import has_choice
from jobs.pools.local import slots_of
from transfer.engine.plan import Plan
from transfer.spec.networks import stacks

KNOBS = ("lanes", "layers per product", "batch shards")


@dataclass(frozen=True)
class Entry:
    """A shape of an experiment.

    Attributes:
        config: its training.
        variants: the names of those that share it.
        choice: its layout.
        waits: whether `mupc run` would measure it before it trains.
    """

    config: pccore.TrainingConfig
    variants: tuple[str, ...]
    choice: Choice
    waits: bool

    @property
    def network(self) -> pccore.NetworkConfig:
        """The stack of layers that predicts."""
        return stacks(self.config.network)[0]

    @property
    def size(self) -> str:
        """H x N."""
        return f"{self.network.depth} x {self.network.width}"


def list_layouts(spec: Path, *, measure: bool, workers: int | None, as_json: bool) -> None:
    """Show the layout of every shape, and with `measure` what it was chosen from."""
    plan = _plan(transfer.load(spec))
    device = this_device(workers)
    entries = [
        _entry(config, variants, device, measure)
        for config, variants in shapes(plan, device).items()
    ]
    if as_json:
        facts = [_facts(entry) for entry in entries]
        cache, about = str(layout_memory.folder()), asdict(device)
        print(json.dumps({"cache": cache, "device": about, "layouts": facts}, indent=2))
        return
    _show(entries, trials=measure)


def this_device(workers: int | None) -> Device:
    """The device as the local pool's threads have it."""
    environment.prepare()  # one program at a time, with the one core that it has in a busy pool
    devices = jax.local_devices()
    device = describe(devices[0])
    return shared_out(device, devices, workers or slots_of(device, devices))


def shapes(plan: Plan, device: Device) -> dict[pccore.TrainingConfig, tuple[str, ...]]:
    """Every training whose layout is decided by itself, and the variants that share it."""
    found: dict[Path, tuple[pccore.TrainingConfig, tuple[str, ...]]] = {}
    for shape in dict.fromkeys((plan.experiment.tune.shape, *plan.experiment.targets)):
        for arm in plan.arms:
            config, name = plan.config(arm, shape), arm.variant.name
            first, names = found.get(layout_memory.place(config, device), (config, ()))
            found[layout_memory.place(config, device)] = first, (*names, name)
    return dict(found.values())


def _plan(experiment: transfer.Experiment) -> Plan:
    """The plan, without its data: layouts need the sizes only, which are known without a file."""
    plan = Plan(experiment, pccore.data.info(experiment.dataset), digest="")
    plan.check()
    return plan


def _entry(
    config: pccore.TrainingConfig, variants: tuple[str, ...], device: Device, measure: bool
) -> Entry:
    if measure and has_choice(config, device):
        network = stacks(config.network)[0]
        size = f"{network.depth} x {network.width} ({', '.join(variants)})"
        print(f"measuring {size}", file=sys.stderr, flush=True)
        alone = device.kind == "cpu" and device.count == 1
        clock = time.process_time if alone else time.perf_counter
        return Entry(config, variants, measured_layout(config, device, clock=clock), waits=False)
    choice = known_layout(config, device)
    waits = choice.source is Source.DEFAULT
    waits = waits and wants_measuring(config, device, choice.layout.lanes)
    return Entry(config, variants, choice, waits)


def _facts(entry: Entry) -> dict[str, Any]:
    measurement = entry.choice.measurement
    trials = None if measurement is None else [_trial_facts(t) for t in measurement.trials]
    return {
        "depth": entry.network.depth,
        "width": entry.network.width,
        "activation": entry.network.activation,
        "variants": list(entry.variants),
        "layout": asdict(entry.choice.layout),
        "source": str(entry.choice.source),
        "run_measures": entry.waits,
        "trials": trials,
    }


def _trial_facts(trial: Trial) -> dict[str, Any]:
    return {"knob": trial.knob, **asdict(trial.layout), "seconds_per_step": trial.seconds}


def _show(entries: list[Entry], *, trials: bool) -> None:
    names = ("H x N", "activation", "variants", *KNOBS, "from")
    table = plain_table(names, text=("H x N", "activation", "variants", "from"))
    for entry in entries:
        source = str(entry.choice.source)
        values = (str(value) for value in asdict(entry.choice.layout).values())
        variants = ", ".join(entry.variants)
        source += " (mupc run measures it first)" if entry.waits else ""
        table.add_row(entry.size, entry.network.activation, variants, *values, source)
    console = screen()
    console.print(table)
    for entry in entries:
        if trials and entry.choice.measurement is not None:
            console.print(f"\n{entry.size}, {', '.join(entry.variants)}: ms a step and lane")
            console.print(_trial_table(entry.choice.measurement.trials))
    console.print(f"\nmeasured layouts are kept in {layout_memory.folder()}", soft_wrap=True)


def _trial_table(trials: tuple[Trial, ...]) -> Any:
    """A line per trial; its speed is relative to the first of its knob, in turns with it."""
    table = plain_table(("knob", *KNOBS, "ms", "speed"), text=("knob",))
    first: dict[str, float | None] = {}
    for trial in trials:
        before = first.setdefault(trial.knob, trial.seconds)
        speed = before / trial.seconds if before and trial.seconds else None
        milliseconds = None if trial.seconds is None else 1e3 * trial.seconds
        values = (str(value) for value in asdict(trial.layout).values())
        knob = trial.knob.replace("_", " ")
        table.add_row(knob, *values, number(milliseconds), number(speed))
    return table

"""`mupc layouts`: the layout of every shape of an experiment on this machine, or a measurement."""

import sys
import time
from collections.abc import Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pccore
import transfer
from jobs.cli.json_output import print_json
from jobs.cli.spec_file import check_spec
from jobs.cli.tables import number, plain_table, screen, shown_folder
from jobs.errors import CommandError, MeasuringError
from jobs.pools import environment
from jobs.pools.devices import Device, describe, local_devices, share
from jobs.pools.layout_measurement import Candidate, has_candidates, measure_layout
from jobs.pools.layouts import (
    Layout,
    choose_layout,
    layout_folder,
    load_layout,
    save_layout,
    speed_key,
)
from jobs.pools.local import slots_of
from jobs.pools.settings import LAYOUTS_VARIABLE, LayoutPolicy, layout_policy
from pccore import SizedConfig
from pccore.jax_settings import pinned
from results.storage.permissions import try_folder
from transfer.engine.plan import Plan

if TYPE_CHECKING:
    from rich.table import Table

KNOBS = ("lanes", "layers per product", "batch shards")


@dataclass(frozen=True)
class Entry:
    """The layout of one shape of an experiment.

    Attributes:
        config: its training.
        variants: names of the variants that share it.
        layout: its layout.
        source: the policy by which the layout was chosen.
        candidates: the layouts that were timed now; empty without a measurement.
    """

    config: pccore.TrainingConfig
    variants: tuple[str, ...]
    layout: Layout
    source: LayoutPolicy
    candidates: tuple[Candidate, ...] = ()

    @property
    def network(self) -> SizedConfig:
        """The network that predicts."""
        return self.config.network.sized_parts()[0]

    @property
    def size(self) -> str:
        """H x N."""
        return f"{self.network.depth} x {self.network.width}"


def list_layouts(spec: Path, *, measure: bool, workers: int | None, as_json: bool) -> None:
    """Print the layout of every shape; with `measure`, time the candidates and store the fastest.

    Raises:
        MeasuringError: no layout of a shape could be trained, or the result cannot be stored.
        SettingError: `MUPC_LAYOUTS` sets an unknown policy.
    """
    check_spec(spec)
    plan = _plan(transfer.load(spec))
    if measure:
        _ensure_storable()
    device = this_device(workers)
    make = _measured if measure else _chosen
    entries = [make(config, variants, device) for config, variants in shapes(plan)]
    if as_json:
        facts = {
            "cache": shown_folder(layout_folder),
            "device": asdict(device),
            "layouts": [_facts(entry) for entry in entries],
        }
        print_json("layouts", facts)
        return
    _show(entries)


def this_device(workers: int | None) -> Device:
    """Return the device of a local pool's threads."""
    environment.prepare()  # one program at a time, on the one core that it has in a busy pool
    devices = local_devices()
    device = describe(devices[0])
    return share(device, devices, workers or slots_of(device, devices))


def shapes(plan: Plan) -> list[tuple[pccore.TrainingConfig, tuple[str, ...]]]:
    """Return the trainings that differ in speed, each with the variants that share it."""
    found: dict[Hashable, tuple[pccore.TrainingConfig, tuple[str, ...]]] = {}
    for shape in dict.fromkeys((plan.experiment.tune.shape, *plan.experiment.targets)):
        for arm in plan.arms:
            config, name = plan.config(arm, shape), arm.variant.name
            first, names = found.get(speed_key(config), (config, ()))
            found[speed_key(config)] = first, (*names, name)
    return list(found.values())


def _plan(experiment: transfer.Experiment | transfer.Sweep) -> Plan:
    """Return the plan without data: layouts need sizes only, which are known without a file.

    Raises:
        CommandError: the spec is of training functions, which mupc does not lay out.
    """
    if isinstance(experiment, transfer.Sweep):
        raise CommandError("a spec of training functions has no layouts: mupc does not train it")
    plan = Plan(experiment, experiment.data, digest="")
    plan.check()
    return plan


def _chosen(config: pccore.TrainingConfig, variants: tuple[str, ...], device: Device) -> Entry:
    layout = choose_layout(config, device)
    measured = layout_policy() is LayoutPolicy.MEASURED and has_candidates(config, device)
    stored = measured and load_layout(config, device) is not None
    source = LayoutPolicy.MEASURED if stored else LayoutPolicy.DEFAULT
    return Entry(config, variants, layout, source)


def _measured(config: pccore.TrainingConfig, variants: tuple[str, ...], device: Device) -> Entry:
    """Time the candidates of a training and store the fastest; the rule decides if there are none.

    Raises:
        MeasuringError: no layout could be trained, or the result cannot be stored.
    """
    if not has_candidates(config, device):
        return _chosen(config, variants, device)
    network = config.network.sized_parts()[0]
    size = f"{network.depth} x {network.width} ({', '.join(variants)})"
    print(f"measuring {size}", file=sys.stderr, flush=True)
    one_core = device.kind == "cpu" and device.count == 1
    clock = time.process_time if one_core else time.perf_counter
    with pinned():
        found = measure_layout(config, device, clock)
    try:
        save_layout(config, device, found.layout)
    except OSError as error:
        raise _unstorable(error) from None
    return Entry(config, variants, found.layout, LayoutPolicy.MEASURED, found.candidates)


def _ensure_storable() -> None:
    """Check that layouts can be stored, before minutes of measuring. Raises `MeasuringError`."""
    try:
        try_folder(layout_folder())
    except OSError as error:
        raise _unstorable(error) from None


def _unstorable(error: OSError) -> MeasuringError:
    return MeasuringError(
        f"the measured layout cannot be stored in {layout_folder()} ({error}): "
        "set MUPC_CACHE to a folder that can be written"
    )


def _facts(entry: Entry) -> dict[str, object]:
    return {
        "depth": entry.network.depth,
        "width": entry.network.width,
        "activation": entry.network.activation,
        "variants": list(entry.variants),
        "layout": asdict(entry.layout),
        "source": str(entry.source),
        "candidates": [
            {"knob": c.knob, **asdict(c.layout), "seconds_per_step": c.seconds}
            for c in entry.candidates
        ],
    }


def _show(entries: list[Entry]) -> None:
    names = ("H x N", "activation", "variants", *KNOBS, "from")
    table = plain_table(names, text=("H x N", "activation", "variants", "from"))
    for entry in entries:
        values = (str(value) for value in asdict(entry.layout).values())
        variants = ", ".join(entry.variants)
        table.add_row(entry.size, entry.network.activation, variants, *values, str(entry.source))
    console = screen()
    console.print(table)
    for entry in entries:
        if entry.candidates:
            console.print(f"\n{entry.size}, {', '.join(entry.variants)}: ms per step and lane")
            console.print(_candidate_table(entry.candidates))
    if any(entry.candidates for entry in entries):
        console.print(
            f"\nstored in {layout_folder()}; mupc run uses measured layouts with "
            f"--layouts measured (or {LAYOUTS_VARIABLE}=measured)",
            soft_wrap=True,
        )


def _candidate_table(candidates: tuple[Candidate, ...]) -> "Table":
    """Return a table of candidates, with their speed relative to the first of the same knob."""
    table = plain_table(("knob", *KNOBS, "ms", "speed"), text=("knob",))
    first: dict[str, float | None] = {}
    for candidate in candidates:
        seconds = candidate.seconds
        reference = first.setdefault(candidate.knob, seconds)
        speed = reference / seconds if reference and seconds else None
        milliseconds = None if seconds is None else 1e3 * seconds
        values = (str(value) for value in asdict(candidate.layout).values())
        knob = candidate.knob.replace("_", " ")
        table.add_row(knob, *values, number(milliseconds), number(speed))
    return table

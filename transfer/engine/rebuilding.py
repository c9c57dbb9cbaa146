"""Runs made again from their settings, as the ledger stores them: the inverse of `Run`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_type_hints

import pccore
from pccore import (
    AbstractNetworkConfig,
    NetworkConfig,
    SizedConfig,
    SpectralActivityLr,
    TrainingConfig,
)
from pccore.theory.probe_registry import PROBES, RULE_PROBES
from pccore.training.config import DIVERGENCE_FACTOR
from results import LedgerError
from transfer.engine.runs import SETTINGS, Run
from transfer.spec.families import FAMILIES, INPUT_SHAPE
from transfer.spec.networks import NETWORKS
from transfer.spec.variants import LEARNING_RULES

Stored = Mapping[str, Any]
"""The settings of a run by column, as the ledger stores them."""

Options = dict[str, Any]
"""The options of one setting by name: the arguments of the class that the setting names."""

IMMATERIAL = ("compiler_settings", "conventions")
"""Settings of a run that are of the process that trained it."""


def run_of(row: Mapping[str, object], input_size: int, output_size: int) -> Run:
    """Return the run with these settings: those of a row of `runs`, or `Run.determinants`.

    Args:
        row: settings by column; None, or no entry, stands for the value that `SETTINGS` leaves out.
        input_size: D of the data set.
        output_size: K of the data set.

    Raises:
        LedgerError: this version of mupc cannot make these settings again.
    """
    stored: Stored = {
        name: value for name, value in row.items() if name in SETTINGS and value is not None
    }
    refuse_function(row)
    what = f"run {row.get('run_id')} cannot be made again"
    try:
        run = Run(
            str(stored["dataset"]),
            str(stored["dataset_digest"]),
            str(row.get("variant")),
            _config(stored, input_size, output_size),
            pccore.Lane(stored["weight_lr"], stored.get("activity_lr"), stored["seed"]),
        )
        made = {name: value for name, value in run.determinants.items() if value is not None}
    except (ValueError, TypeError, LookupError) as error:
        raise LedgerError(f"{what}: {error}") from error
    for name in SETTINGS:
        if name not in IMMATERIAL and made.get(name) != stored.get(name):
            raise LedgerError(
                f"{what}: its {name} is {stored.get(name)!r}, and {made.get(name)!r} if it is made "
                "by this version"
            )
    return run


def refuse_function(row: Mapping[str, object]) -> None:
    """Raise `LedgerError` if a row is of a training function of the user's."""
    if row.get("rates") is not None:
        raise LedgerError(
            f"run {row.get('run_id')} cannot be made again: it is of the training function "
            f"{row.get('dataset')}, which only you can call"
        )


def _config(stored: Stored, input_size: int, output_size: int) -> TrainingConfig:
    scheme = _options(stored, "inference_options")
    spectral = scheme.pop("activity_lr", None)
    options = _options(stored, "rule_options")
    factor = options.pop("divergence_factor", DIVERGENCE_FACTOR)
    rule = _rule(stored, scheme, options)
    return TrainingConfig(
        network=_network(stored, input_size, output_size),
        rule=rule,
        optimiser=_optimiser(stored),
        batch_size=stored["batch_size"],
        steps=stored["steps"],
        eval_every=stored["eval_every"],
        penalties=tuple(
            pccore.PENALTIES[name](**options) for name, options in _named(stored, "penalties")
        ),
        probes=tuple(
            RULE_PROBES[name](rule) if name in RULE_PROBES else PROBES[name](**options)
            for name, options in _named(stored, "probes")
        ),
        activity_lr=spectral and SpectralActivityLr(spectral["spectral"], spectral["remeasure"]),
        divergence_factor=factor,
    )


def _optimiser(stored: Stored) -> pccore.Optimiser:
    options = _options(stored, "optimiser_options")
    if "schedule" in options:
        options["schedule"] = pccore.Schedule(**options["schedule"])
    return pccore.OPTIMISERS[stored["optimiser"]](**options)


COMMON = (
    *("width", "depth", "activation", "residual", "parameterisation", "output"),
    *("skip", "bias", "activity_decay"),
)
"""The columns that a stack of layers has as its settings."""


def _network(stored: Stored, input_size: int, output_size: int) -> AbstractNetworkConfig:
    own = _options(stored, "network_options")
    hidden = own.pop("precisions", None)
    settings = {name: stored[name] for name in COMMON if name in stored}
    settings |= {name: own.pop(name) for name in ("initial_std", "initial_range") if name in own}
    settings |= {"input_size": input_size, "output_size": output_size}

    def precisions(layers: int) -> tuple[float, ...]:
        found = (*(hidden or (1.0,) * layers), stored.get("output_precision", 1.0))
        return () if set(found) == {1.0} else found

    name = stored.get("network", "stacked")
    if name not in NETWORKS:
        shape = {key: own[key] for key in (INPUT_SHAPE,) if key in own}
        family = FAMILIES[name](**shape, **own.get("options", {}))
        return family.build(**settings, precisions=precisions)
    kind, settings["precisions"] = NETWORKS[name], precisions(stored["depth"])
    if issubclass(kind, SizedConfig):
        return kind(**settings, **own)
    predicting, *others = _stacks(kind)
    first = NetworkConfig(**settings)
    parts = {predicting: first}
    for name in others:
        parts[name] = NetworkConfig(**{**asdict(first), **own.pop(name)})
    return kind(**parts, **own)


def _stacks(kind: type[AbstractNetworkConfig]) -> list[str]:
    """Return the fields of a network that hold its stacks, first the one that predicts."""
    hints = get_type_hints(kind)
    return [each.name for each in fields(kind) if hints[each.name] is NetworkConfig]


def _rule(stored: Stored, scheme: Options, options: Options) -> pccore.LearningRule:
    kind = LEARNING_RULES[stored["rule"]]
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    if "inference" in names:
        if "inference_steps" in stored:
            scheme["steps"] = stored["inference_steps"]
        options["inference"] = pccore.INFERENCE[stored["inference"]](**scheme)
    if "start" in names:
        start = pccore.STARTS[stored.get("start", "forward")]
        options["start"] = start(**_options(stored, "start_options"))
    return kind(**options)


def _named(stored: Stored, column: str) -> list[tuple[str, Options]]:
    """Return the names and the options of penalties or probes."""
    found = [_with_tuples(each) for each in json.loads(stored.get(column, "[]"))]
    return [(each.pop("name"), each) for each in found]


def _options(stored: Stored, column: str) -> Options:
    return _with_tuples(json.loads(stored.get(column, "{}")))


def _with_tuples(options: Options) -> Options:
    """Return options from JSON with tuples for their lists, as configurations have them."""
    return {name: _tuples(each) for name, each in options.items()}


def _tuples(value: object) -> object:
    if isinstance(value, dict):
        return _with_tuples(value)
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

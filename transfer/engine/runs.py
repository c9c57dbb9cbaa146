"""One network to train, and its id: the hash of everything that determines the result."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Final, TypeVar

import pccore
from pccore import Lane, SizedConfig, TrainingConfig
from pccore.jax_settings import unpinned
from pccore.theory.probe_registry import PROBES
from pccore.training.config import DIVERGENCE_FACTOR
from results import identity
from results.landscape import Cell
from results.shapes import Shape
from transfer.engine.function_runs import FunctionRun
from transfer.spec.activity_lr import spectral_as_yaml
from transfer.spec.variants import LEARNING_RULES

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """Everything that determines one training run.

    Attributes:
        dataset: name of the data set.
        digest: SHA-256 of its content.
        variant: a name in `transfer.VARIANTS`; what it stands for is in `config`.
        config: what the runs of one compiled program share.
        lane: learning rates and seed.
    """

    dataset: str
    digest: str
    variant: str
    config: TrainingConfig
    lane: Lane

    @cached_property
    def run_id(self) -> str:
        """The hash of `determinants` (`results.identity`): the same in every experiment."""
        return identity.run_id(self.determinants)

    @property
    def cell(self) -> Cell:
        """Its point of the search space."""
        return Cell(self.lane.weight_lr, self.lane.activity_lr)

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return Shape(self.network.width, self.network.depth)

    @property
    def activation(self) -> str:
        """The name of its activation."""
        return self.network.activation

    @cached_property
    def network(self) -> SizedConfig:
        """The network that predicts; for most networks, the whole network."""
        return self.config.network.sized_parts()[0]

    @cached_property
    def determinants(self) -> dict[str, object]:
        """The columns of the `runs` table that determine the others (`SETTINGS`).

        The variant is not among them, as it stands for a parameterisation and a rule. The layout of
        the arithmetic is not either, as it does not change the result.
        """
        found = {}
        for column, setting in SETTINGS.items():
            value = setting.value(self)
            if setting.usual is ALWAYS or value != setting.usual:
                stored = isinstance(value, dict | list)
                value = str(value) if isinstance(value, str) else value
                found[column] = json.dumps(value, sort_keys=True) if stored else value
        return found


AnyRun = Run | FunctionRun
"""A run of a network of mupc's, or of a training function of the user's."""

ALWAYS: Final = object()


@dataclass(frozen=True)
class Setting:
    """A setting of a run: a column of the `runs` table and a part of the run's id.

    Attributes:
        value: returns its value for a run; mappings and lists are stored as JSON.
        usual: the value at which it is left out of the id. A setting added after the first release
            needs one: the value that all earlier runs had, so that their ids stay.
    """

    value: Callable[[Run], object]
    usual: object = ALWAYS


def _rule_options(run: Run) -> dict[str, object]:
    """Return the options of the learning rule, and when a run has diverged unless that is usual.

    Options that have columns of their own are left out.
    """
    options = {k: v for k, v in vars(run.config.rule).items() if k not in ("inference", "start")}
    factor = run.config.divergence_factor
    return options if factor == DIVERGENCE_FACTOR else options | {"divergence_factor": factor}


def _inference_options(run: Run) -> dict[str, object]:
    """Return the options of the scheme, and how beta is set unless it is a learning rate."""
    chosen = run.config.activity_lr
    spectral = {} if chosen is None else {"activity_lr": spectral_as_yaml(chosen)}
    return _options(run.config.rule.inference, "steps") | spectral


def _options(thing: Any, *columns: str) -> dict[str, object]:
    """Return the options of a dataclass except those that have columns of their own."""
    return {} if thing is None else {k: v for k, v in asdict(thing).items() if k not in columns}


def _optimiser_options(run: Run) -> dict[str, object]:
    """Return the options of the optimiser; those of all optimisers, unless they are None.

    Earlier runs did not have these. `like` changes the rules of transfer and no run.
    """
    optimiser = run.config.optimiser
    common = {each.name: getattr(optimiser, each.name) for each in fields(pccore.Optimiser)}
    unset = [name for name, value in common.items() if value is None]
    return _options(optimiser, "like", *unset)


def _name(registry: pccore.Registry[T], thing: object) -> str | None:
    return None if thing is None else registry.name_of(type(thing))


def _all(registry: pccore.Registry[T], things: Sequence[Any]) -> list[dict[str, object]]:
    """Return the names of penalties or probes with their options."""
    return [{"name": registry.name_of(type(thing)), **asdict(thing)} for thing in things]


SETTINGS: Mapping[str, Setting] = {
    "dataset": Setting(lambda run: run.dataset),
    "dataset_digest": Setting(lambda run: run.digest),
    "activation": Setting(lambda run: run.network.activation),
    "width": Setting(lambda run: run.network.width),
    "depth": Setting(lambda run: run.network.depth),
    "residual": Setting(lambda run: run.network.residual),
    "parameterisation": Setting(lambda run: run.network.parameterisation),
    "output": Setting(lambda run: run.network.output),
    "rule": Setting(lambda run: LEARNING_RULES.name_of(type(run.config.rule))),
    "inference": Setting(lambda run: _name(pccore.INFERENCE, run.config.rule.inference)),
    "inference_steps": Setting(lambda run: _options(run.config.rule.inference).get("steps")),
    "optimiser": Setting(lambda run: _name(pccore.OPTIMISERS, run.config.optimiser)),
    "optimiser_options": Setting(_optimiser_options),
    "batch_size": Setting(lambda run: run.config.batch_size),
    "steps": Setting(lambda run: run.config.steps),
    "eval_every": Setting(lambda run: run.config.eval_every),
    "weight_lr": Setting(lambda run: run.lane.weight_lr),
    "activity_lr": Setting(lambda run: run.lane.activity_lr),
    "seed": Setting(lambda run: run.lane.seed),
    "conventions": Setting(lambda run: pccore.CONVENTIONS),
    "network": Setting(lambda run: run.config.network.kind, usual="stacked"),
    "network_options": Setting(lambda run: run.config.network.own_settings(), usual={}),
    "skip": Setting(lambda run: run.network.skip, usual=1),
    "bias": Setting(lambda run: run.network.bias, usual=False),
    "activity_decay": Setting(lambda run: float(run.network.activity_decay), usual=0.0),
    "output_precision": Setting(lambda run: float(run.network.output_precision), usual=1.0),
    "rule_options": Setting(_rule_options, usual={}),
    "inference_options": Setting(_inference_options, usual={}),
    "start": Setting(lambda run: _name(pccore.STARTS, run.config.rule.start), usual="forward"),
    "start_options": Setting(lambda run: _options(run.config.rule.start), usual={}),
    "penalties": Setting(lambda run: _all(pccore.PENALTIES, run.config.penalties), usual=[]),
    "probes": Setting(lambda run: _all(PROBES, run.config.probes), usual=[]),
    "compiler_settings": Setting(lambda run: unpinned(), usual=[]),
}
"""The settings by column. Adding one takes a line here and a column in `results.schema.columns`."""

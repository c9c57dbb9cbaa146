"""A spec resolved: the runs that each step of the experiment needs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pccore
from results.landscape import Cell
from results.shapes import Shape
from results.vocabulary import NO_ACTIVATION
from transfer.engine.any_plan import AnyPlan, Arm, NamedFunction
from transfer.engine.function_runs import FunctionRun
from transfer.engine.runs import Run
from transfer.functions import FunctionConfig, FunctionLane, TrainingFunction
from transfer.spec.building import trace, training_config
from transfer.spec.errors import SpecError
from transfer.spec.model import Experiment
from transfer.spec.sections import VariantSpec
from transfer.spec.sweep import Sweep
from transfer.spec.transfer_rules import TRANSFER_RULES, TransferRule

if TYPE_CHECKING:
    from pccore.data import Dataset


@dataclass(frozen=True)
class Plan(AnyPlan):
    """An experiment resolved against its data set.

    Attributes:
        experiment: the spec.
        data: sizes and task of the data set.
        digest: SHA-256 of its content.
        data_dir: where its files are; None means the default place.
    """

    experiment: Experiment
    data: pccore.data.DatasetInfo
    digest: str
    data_dir: Path | None = None

    @classmethod
    def of(cls, experiment: Experiment, data_dir: Path | None = None) -> Self:
        """Return the plan of `experiment`; this reads its data set.

        Raises:
            pccore.data.DatasetError: the data set is missing or damaged.
        """
        own = experiment.own_data
        data = pccore.data.load(experiment.data.name, data_dir) if own is None else own
        return cls(experiment, experiment.data, data.digest, data_dir)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Every variant with every activation, in the order of the spec."""
        experiment = self.experiment
        activations = experiment.network.activations
        return tuple(
            Arm(
                variant,
                activation,
                experiment.space(variant),
                variant.name if len(activations) == 1 else f"{variant.name} {activation}",
            )
            for activation in activations
            for variant in experiment.variants
        )

    @property
    def untrained_loss(self) -> float | None:
        """The loss of predicting zero, or equal chances; None for a regression, of other scale."""
        if self.data.task != "classification":
            return None
        if self.experiment.network.output == "cross_entropy":
            return math.log(self.data.output_size)
        return 0.5  # half the squared length of a one-hot target

    @property
    def batch_size(self) -> int:
        """B of every run."""
        return self.experiment.training.batch_size

    @property
    def like(self) -> str | None:
        """How steps of the optimiser depend on gradients."""
        return self.experiment.training.optimiser.like

    def dataset(self, arm: Arm) -> str:
        """Return the name of the data set."""
        return self.data.name

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest of the data set."""
        return (self.digest,)

    @property
    def own(self) -> "Sequence[Dataset]":
        """The data set if it is the user's own."""
        data = self.experiment.own_data
        return () if data is None else (data,)

    @property
    def rules(self) -> tuple[tuple[str, TransferRule], ...]:
        """The transfer rules by name."""
        rules = self.experiment.transfer.rules
        return tuple((TRANSFER_RULES.name_of(rule), rule) for rule in rules)

    def config(self, arm: Arm, shape: Shape) -> pccore.TrainingConfig:
        """Return the configuration that the runs of `arm` at `shape` share."""
        assert isinstance(arm.variant, VariantSpec)
        return training_config(self.experiment, arm.variant, arm.activation, shape)

    def check(self) -> None:
        """Trace a training step of every arm, so that errors show before training.

        Raises:
            SpecError: an arm cannot be trained with these settings, one sentence per arm; or the
                sampler needs a package that is not installed.
        """
        problems = self._sampler_problems()
        for arm in self.arms:
            try:
                trace(self.config(arm, self.experiment.tune.shape))
            except Exception as error:
                if not (isinstance(error, ValueError) or self.experiment.own):
                    raise
                cause = (str(error).splitlines() or [type(error).__name__])[0]
                problems.append(f"{arm.label} cannot be trained: {cause}")
        if problems:
            raise SpecError(problems)

    def runs(
        self, arm: Arm, shape: Shape, cells: Iterable[Cell], seeds: Sequence[int] | None = None
    ) -> list[Run]:
        """Return the runs of `cells`: cell by cell, each with all `seeds`, those of the search."""
        config = self.config(arm, shape)
        return [
            Run(
                self.data.name,
                self.digest,
                arm.variant.name,
                config,
                pccore.Lane(cell.weight_lr, cell.activity_lr, seed),
            )
            for cell in cells
            for seed in (self.seeds if seeds is None else seeds)
        ]


@dataclass(frozen=True)
class SweepPlan(AnyPlan):
    """A sweep of training functions, resolved: nothing is read, as functions read their own data.

    Attributes:
        experiment: the spec.
    """

    experiment: Sweep
    data_dir: None = None

    @cached_property
    def functions(self) -> Mapping[str, TrainingFunction]:
        """The training functions by their names in the spec."""
        return {name: TrainingFunction.of(own) for name, own in self.experiment.train.items()}

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Every training function, in the order of the spec."""
        space = self.experiment.space
        return tuple(
            Arm(NamedFunction(name), NO_ACTIVATION, space, name) for name in self.experiment.train
        )

    def dataset(self, arm: Arm) -> str:
        """Return the name of the training function with the digest of its code."""
        return self.functions[arm.variant.name].name

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the training functions."""
        return tuple(function.digest for function in self.functions.values())

    @property
    def own(self) -> Sequence[TrainingFunction]:
        """The training functions."""
        return tuple(self.functions.values())

    @property
    def rules(self) -> tuple[tuple[str, TransferRule], ...]:
        """The transfer rules by name."""
        return self.experiment.rules

    def config(self, arm: Arm, shape: Shape) -> FunctionConfig:
        """Return what the runs of `arm` at `shape` share."""
        whole = tuple(name for name, values in arm.space.searched.items() if values.whole)
        return FunctionConfig(self.functions[arm.variant.name].name, shape, whole)

    def runs(
        self, arm: Arm, shape: Shape, cells: Iterable[Cell], seeds: Sequence[int] | None = None
    ) -> list[FunctionRun]:
        """Return the runs of `cells`: cell by cell, each with all `seeds`, those of the search."""
        function, config = self.functions[arm.variant.name], self.config(arm, shape)
        return [
            FunctionRun(
                function.name, function.digest, arm.variant.name, config, FunctionLane(cell, seed)
            )
            for cell in cells
            for seed in (self.seeds if seeds is None else seeds)
        ]

    def check(self) -> None:
        """Pickle the functions, as workers receive them.

        Raises:
            SpecError: a function cannot be sent to the processes that call it, or the sampler needs
                a package that is not installed.
        """
        if problems := self._sampler_problems():
            raise SpecError(problems)
        try:
            _ = self.functions
        except ValueError as error:
            raise SpecError(str(error)) from None


def plan_of(experiment: Experiment | Sweep, data_dir: Path | None = None) -> Plan | SweepPlan:
    """Return the plan of an experiment or a sweep; an experiment's data set is read.

    Raises:
        pccore.data.DatasetError: the data set is missing or damaged.
    """
    if isinstance(experiment, Sweep):
        return SweepPlan(experiment)
    return Plan.of(experiment, data_dir)

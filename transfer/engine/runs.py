"""One network to train: its learning rates, its id, and its row in the ledger."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import jax

import pccore
from pccore import ForwardStart, Lane, NetworkConfig, Outcome, TrainingConfig
from pccore.theory.probe_registry import PROBES
from results.landscape import Cell
from transfer.engine.pool import GroupResult
from transfer.spec.networks import NETWORKS, distinguishing, stacks
from transfer.spec.variants import LEARNING_RULES

ID_LENGTH = 20
"""Hexadecimal digits of a run id: 80 bits, so that a clash among 10^9 runs has odds below 10^-6."""


@dataclass(frozen=True)
class Run:
    """Everything that determines one training run.

    Attributes:
        dataset: name of the data set.
        digest: SHA-256 of its content.
        variant: a name in `transfer.VARIANTS`; what it stands for is in `config`.
        config: the compiled program.
        lane: learning rates and seed.
    """

    dataset: str
    digest: str
    variant: str
    config: TrainingConfig
    lane: Lane

    @cached_property
    def run_id(self) -> str:
        """A prefix of the SHA-256 of `determinants`: the same in whatever experiment."""
        text = json.dumps(self.determinants, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]

    @property
    def cell(self) -> Cell:
        """Its point of the search space."""
        return Cell(self.lane.weight_lr, self.lane.activity_lr)

    @property
    def network(self) -> NetworkConfig:
        """The stack of layers that predicts: of most networks, the whole."""
        return stacks(self.config.network)[0]

    @cached_property
    def determinants(self) -> dict[str, Any]:
        """The columns of the `runs` table that determine the others.

        The variant is not one of them: it stands for a parameterisation and a rule. Nor is how the
        arithmetic is laid out.
        """
        config, network, lane = self.config, self.network, self.lane
        inference: Any = getattr(config.rule, "inference", None)
        optimiser: Any = config.optimiser
        return {
            "dataset": self.dataset,
            "dataset_digest": self.digest,
            "activation": network.activation,
            "width": network.width,
            "depth": network.depth,
            "residual": network.residual,
            "parameterisation": network.parameterisation,
            "output": network.output,
            "rule": LEARNING_RULES.name_of(type(config.rule)),
            "inference": pccore.INFERENCE.name_of(type(inference)) if inference else None,
            "inference_steps": getattr(inference, "steps", None),
            "optimiser": pccore.OPTIMISERS.name_of(type(optimiser)),
            "optimiser_options": json.dumps(asdict(optimiser), sort_keys=True),
            "batch_size": config.batch_size,
            "steps": config.steps,
            "eval_every": config.eval_every,
            "weight_lr": lane.weight_lr,
            "activity_lr": lane.activity_lr,
            "seed": lane.seed,
            "conventions": pccore.CONVENTIONS,
            **self._unusual,
        }

    @property
    def _unusual(self) -> dict[str, Any]:
        """Of the settings that came later, those that are not what they were for all runs before:
        a run without them keeps the id that it had, and is not trained again."""
        config, network = self.config, self.network
        inference: Any = getattr(config.rule, "inference", None)
        start: Any = getattr(config.rule, "start", ForwardStart())
        phases = {"inference": inference, "start": start}
        rule = {key: value for key, value in vars(config.rule).items() if key not in phases}
        imposed: tuple[Any, ...] = config.penalties
        penalties = [{"name": pccore.PENALTIES.name_of(type(p)), **asdict(p)} for p in imposed]
        probed: tuple[Any, ...] = config.probes
        probes = [{"name": PROBES.name_of(type(p)), **asdict(p)} for p in probed]
        settings = {
            "network": (NETWORKS.name_of(type(config.network)), "stacked"),
            "network_options": (distinguishing(config.network), {}),
            "skip": (network.skip, 1),
            "bias": (network.bias, False),
            "activity_decay": (float(network.activity_decay), 0.0),
            "output_precision": (float(network.output_precision), 1.0),
            "rule_options": (rule, {}),
            "inference_options": (_options(inference), {}),
            "start": (pccore.STARTS.name_of(type(start)), "forward"),
            "start_options": (_options(start), {}),
            "penalties": (penalties, []),
            "probes": (probes, []),
        }
        return {
            key: json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
            for key, (value, usual) in settings.items()
            if value != usual
        }

    def row(
        self, outcome: Outcome, result: GroupResult, experiment: str, phase: str
    ) -> dict[str, Any]:
        """The run's row of the `runs` table, once its group is done."""
        return {
            "run_id": self.run_id,
            "experiment": experiment,
            "phase": phase,
            "variant": self.variant,
            **self.determinants,
            "outcome": str(outcome.status),
            "final_train_loss": outcome.final_train_loss,
            "min_train_loss": outcome.min_train_loss,
            "test_accuracy": outcome.test_accuracy,
            "test_loss": outcome.test_loss,
            "steps_done": outcome.steps,
            "diverged_step": outcome.diverged_step,
            "cause": outcome.cause,
            "seconds": result.seconds / len(result.group.lanes),
            "lanes": len(result.group.lanes),
            "started": result.started,
            **asdict(result.worker),
            **versions(),
        }

    def measurement_rows(self, outcome: Outcome, experiment: str) -> list[dict[str, Any]]:
        """Rows of the `measurements` table: what the probes measured on it."""
        network, lane, now = self.network, self.lane, datetime.now(UTC)
        known = {
            "experiment": experiment,
            "run_id": self.run_id,
            "variant": self.variant,
            "dataset": self.dataset,
            "activation": network.activation,
            "residual": network.residual,
            "parameterisation": network.parameterisation,
            "width": network.width,
            "depth": network.depth,
            "batch_size": self.config.batch_size,
            "weight_lr": lane.weight_lr,
            "activity_lr": lane.activity_lr,
            "seed": lane.seed,
            "conventions": pccore.CONVENTIONS,
            "created": now,
            **versions(),
        }
        return [{**known, **reading._asdict()} for reading in outcome.readings]

    def curve_rows(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The run's rows of the `curves` table, one per evaluation."""
        curve = outcome.curve
        columns = (curve.step, curve.train_loss, curve.test_loss, curve.test_accuracy)
        return [
            {
                "run_id": self.run_id,
                "step": int(step),
                "train_loss": _number(train_loss),
                "test_loss": _number(test_loss),
                "test_accuracy": _number(test_accuracy),
            }
            for step, train_loss, test_loss, test_accuracy in zip(*columns, strict=True)
        ]


def _options(thing: Any) -> dict[str, Any]:
    """The options of an inference scheme or a start, but for `steps`, which has its own column."""
    return {} if thing is None else {k: v for k, v in asdict(thing).items() if k != "steps"}


def _number(value: float) -> float | None:
    """A number of a curve, None where it does not exist."""
    return None if math.isnan(value) else float(value)


@cache
def versions() -> dict[str, str]:
    """Of mupc and JAX, as rows record them."""
    return {"mupc_version": version("mupc"), "jax_version": jax.__version__}

"""An experiment as its author writes it: YAML or Python, validated where it is built."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

import pccore
from pccore.data import Dataset
from pccore.own import Own, modules_beside
from results.shapes import Shape
from transfer.spec.budget import BudgetSpec
from transfer.spec.checks import problems
from transfer.spec.dataset import beside, content_of
from transfer.spec.errors import SpecError, with_lines
from transfer.spec.families import FAMILIES
from transfer.spec.sections import Settings
from transfer.spec.sweep import Sweep, is_sweep
from transfer.spec.targets import TransferSpec
from transfer.spec.whole import WholeSpec
from transfer.spec.yaml import read_yaml


class Experiment(Settings, WholeSpec):
    """Tune each variant on a small network, rerun its optimum on large ones, and judge.

    Build one with `from_dict`, `from_yaml` or `transfer.load`, whose errors are sentences.
    """

    transfer: TransferSpec = Field(description="A mapping with depths, widths or targets.")
    budget: BudgetSpec | None = Field(
        default=None,
        description="The most that the experiment may take: operations, hours of busy workers, or "
        "runs. What is used up leaves verdicts from what ran; raise it and run again to go on.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = [*(self.budget.problems(counted=True) if self.budget else ())]
        found += problems(self, self.transfer)
        if found:
            raise SpecError(found)
        return self

    def to_dict(self) -> dict[str, object]:
        """Return what `from_dict` reads as this experiment: mappings, lists, numbers, strings."""
        values: dict[str, Any] = super().to_dict()
        values["variants"] = [
            variant["name"] if len(variant) == 1 else variant for variant in values["variants"]
        ]
        return values

    def recorded(self) -> dict[str, object]:
        """Return what the ledger records: as `to_dict`, with data of the user's own by content."""
        values = self.to_dict()
        if not isinstance(self.dataset, str):
            values["dataset"] = content_of(self.dataset)
        return values

    def with_dataset(self, dataset: Dataset) -> Self:
        """Return this experiment on another data set.

        Raises:
            SpecError: the settings do not fit it.
        """
        return self.from_dict({**self.to_dict(), "dataset": dataset})

    def to_yaml(self) -> str:
        """Return what `from_yaml` reads as this experiment.

        Raises:
            SpecError: its data set is in memory only.
        """
        if isinstance(self.dataset, Dataset):
            raise SpecError(
                f"dataset: {self.dataset.name} is in memory only: save its arrays in a file, and "
                "name that in the spec"
            )
        return super().to_yaml()

    @property
    def own(self) -> tuple[Own, ...]:
        """The names of the things of the user's that the experiment uses."""
        training = self.training
        names = (
            FAMILIES.name_of(type(self.network.family)),
            *self.network.activations,
            *(variant.name for variant in self.variants),
            training.inference.scheme,
            pccore.OPTIMISERS.name_of(type(training.optimiser)),
            pccore.STARTS.name_of(type(training.start)),
            *(pccore.PENALTIES.name_of(type(penalty)) for penalty in training.penalties),
            self.tune.sampler,
        )
        return tuple(dict.fromkeys(name for name in names if isinstance(name, Own)))

    @property
    def targets(self) -> tuple[Shape, ...]:
        """The shapes at which the optimum is rerun, in the order of the spec."""
        return self.transfer.shapes(self.tune.shape)

    @property
    def tuned(self) -> tuple[Shape, ...]:
        """The shapes that are searched: the tuned one, and those that a rule is fitted to."""
        return self.transfer.tuned_shapes(self.tune.shape)


def load(path: Path | str, *, dataset: Dataset | None = None) -> Experiment | Sweep:
    """Return the experiment that a YAML file describes, or the sweep if it has the key `train`.

    Args:
        path: the file. Paths in it are relative to its folder.
        dataset: the data set, instead of what the file says.

    Raises:
        SpecError: the file cannot be read, or one sentence per problem in it, with its line.
    """
    document = read_yaml(path)
    values = document.value
    if dataset is not None and isinstance(values, dict):
        values = {**values, "dataset": dataset}
    try:
        with modules_beside(Path(path)):
            if is_sweep(values):
                return Sweep.from_dict(values)
            return Experiment.from_dict(beside(values, Path(path).parent))
    except SpecError as error:
        raise with_lines(error, document.lines, f"{path}: ") from None

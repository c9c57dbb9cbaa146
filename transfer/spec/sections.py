"""The sections of a spec. The descriptions of their keys are those of the JSON Schema."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

import pccore
from pccore.networks.family import OWN
from pccore.networks.stacked import ACTIVATION_FIRST, ORDERS
from pccore.theory.probe_registry import RULE_PROBES
from results.shapes import Shape
from transfer.search.pruning import PRUNERS, Pruner
from transfer.search.samplers import SAMPLERS
from transfer.space import Grid, Range, Space
from transfer.spec.activity_lr import ActivityLr, ActivityRates
from transfer.spec.dataset import DatasetField, info_of, own_data
from transfer.spec.families import FAMILIES, Family, Stacked
from transfer.spec.fields import (
    Activations,
    Count,
    Depth,
    Flag,
    Further,
    Label,
    ListOf,
    NameIn,
    NotNegative,
    OptionalListOf,
    Positive,
    Rates,
    Ratio,
    Section,
    Seeds,
    Width,
)
from transfer.spec.modes import MODES, DiscriminativeMode, Mode
from transfer.spec.options import Options
from transfer.spec.schedule_form import Schedules
from transfer.spec.schemes import Inference, InferenceSpec
from transfer.spec.things import Reference, is_thing
from transfer.spec.variants import VARIANTS

DEFAULT_IN_FLIGHT = 8

KEEP = pccore.Registry(
    "choice of kept networks",
    {
        "optima": "the runs at every target, of large networks those at the transferred cells",
        "all": "every run",
        "none": "no run",
    },
)
"""The runs whose trained weights the ledger keeps. It is no part of what determines a result."""


class GeometricPrecision(Section):
    """Precisions of hidden layers in a geometric series, whatever the depth."""

    model_config = ConfigDict(title="series of precisions")

    first: Positive = Field(description="p_1, of the lowest hidden layer.")
    last: Positive = Field(description="p_H, of the highest.")


HiddenPrecision = Annotated[
    Annotated[Positive, Tag("number")] | Annotated[GeometricPrecision, Tag("object")],
    Discriminator(lambda value: "object" if isinstance(value, Mapping | Section) else "number"),
]


class NetworkSpec(Section):
    """The networks of an experiment, apart from their size and parameterisation."""

    family: Annotated[Family, Options(FAMILIES, base=Family).marker()] = Field(
        default=Stacked(), description="Kind of layers: what width and depth are sizes of."
    )
    activation: Activations = Field(
        default=("relu",),
        description="Activation function of the hidden layers, or a list: each variant is tuned "
        "for each of them.",
    )
    residual: Flag = Field(default=True, description="Skip connections between hidden layers.")
    output: Annotated[str, NameIn(pccore.OUTPUTS)] = Field(
        default="mse", description="Energy of the output layer."
    )
    skip: Depth = Field(default=1, description="Number of layers that a skip connection spans.")
    bias: Flag = Field(default=False, description="Biases in every layer.")
    order: Annotated[str, NameIn(ORDERS)] = Field(
        default=ACTIVATION_FIRST,
        description="Whether fully connected layers apply the activation before the weights, "
        "W phi(z), or after them, phi(W z), with a linear output (thesis eq. 2.1).",
    )
    activity_decay: NotNegative = Field(
        default=0.0,
        description="alpha of the term alpha/2 ||z||^2 in the energy of hidden activities.",
    )
    output_precision: Positive = Field(
        default=1.0, description="p_L, weight of the output layer's energy."
    )
    hidden_precision: HiddenPrecision = Field(
        default=1.0,
        description="p_1 .. p_H, weights of the hidden layers' energies (thesis figure A.5): a "
        "number, or the first and the last of a geometric series.",
    )
    initial_std: NotNegative | None = Field(
        default=None,
        description="Standard deviation of all initial weights, to start near the saddle at the "
        "origin; by default they are those of the parameterisation.",
    )

    @property
    def activations(self) -> tuple[str, ...]:
        """The names of the activations; "own" if the layers of the family have their own."""
        return self.activation if self.family.takes("activation") else (OWN,)

    def precisions(self, depth: int) -> tuple[float, ...]:
        """Return p_1 .. p_L of a network with this many hidden layers; () if all are ones."""
        hidden = self.hidden_precision
        if isinstance(hidden, GeometricPrecision):
            series = np.geomspace(hidden.first, hidden.last, depth).tolist()
        else:
            series = [hidden] * depth
        found = (*series, self.output_precision)
        return () if set(found) == {1.0} else found


class VariantSpec(Section):
    """One of the variants compared."""

    name: Annotated[str, NameIn(VARIANTS)] = Field(
        description=f"The name of a variant: one of {', '.join(VARIANTS)}."
    )
    weight_lr: Rates | None = Field(
        default=None, description="Weight learning rates to search instead of tune.weight_lr."
    )
    activity_lr: ActivityRates | None = Field(
        default=None, description="Activity learning rates instead of those of tune.activity_lr."
    )


OPTIMISERS = Options(
    pccore.OPTIMISERS, base=pccore.Optimiser, types={"clip": Positive | None, "schedule": Schedules}
)
PENALTIES = Options(pccore.PENALTIES, base=pccore.Penalty)


class TrainingSpec(Section):
    """The training of every network."""

    batch_size: Count = Field(
        default=64, description="Samples per batch, B. Activity learning rates depend on it."
    )
    epochs: Ratio | None = Field(
        default=None,
        description="Passes over the training set, each of floor(n / B) weight updates. Give "
        "epochs or steps.",
    )
    steps: Count | None = Field(default=None, description="Weight updates. Give epochs or steps.")
    optimiser: Annotated[pccore.Optimiser, OPTIMISERS.marker()] = Field(
        default=pccore.Adam(), description="Optimiser of the weights."
    )
    inference: Inference = Field(
        default=InferenceSpec(),
        description="Inference scheme of variants that infer activities; `steps: depth` means as "
        "many steps as hidden layers.",
    )
    start: Annotated[pccore.Start, Options(pccore.STARTS, base=pccore.Start).marker()] = Field(
        default=pccore.ForwardStart(), description="Activities from which inference begins."
    )
    penalties: OptionalListOf[Annotated[pccore.Penalty, PENALTIES.marker()]] = Field(
        default=(), description="Penalties on the weights."
    )
    eval_every: Count = Field(
        default=300,
        description="Weight updates between two evaluations on the test set (thesis C.4: 300). A "
        "shorter training has five.",
    )
    probes: OptionalListOf[Annotated[str, NameIn(RULE_PROBES)]] = Field(
        default=(),
        description="Measurements of the learning rule before the first update and at every "
        "evaluation, on the first batch_size training samples, recorded in the table measurements.",
    )


PRUNING = Options(PRUNERS, base=Pruner, types={"first": Count | None})


class TuneSpec(Section):
    """The search on the small network."""

    width: Width = Field(description="The number of units in each hidden layer.")
    depth: Depth = Field(description="The number of hidden layers.")
    weight_lr: Rates = Field(description="A list of weight learning rates (eta), or a range.")
    activity_lr: ActivityRates | None = Field(
        default=None,
        description="A list of activity learning rates (beta), or a range; or spectral, which sets "
        "beta from each network's own activity Hessian, so that eta alone is searched. Needed "
        "unless every variant has its own or none; left out where the inference scheme has none.",
    )
    sampler: Annotated[str, NameIn(SAMPLERS)] = Field(
        default="grid", description="How cells are chosen; grid runs every cell of two lists."
    )
    trials: Count | None = Field(
        default=None, description="Number of cells to run, for samplers other than grid."
    )
    in_flight: Count | None = Field(
        default=None,
        description="Number of cells that a sampler other than grid proposes before the first of "
        f"them is done; {DEFAULT_IN_FLIGHT} by default. It belongs to the spec so that every pool "
        "finds the same cells.",
    )
    seeds: Seeds = Field(
        default=(0, 1, 2),
        description="Seeds of tuning and transfer: a count n for the seeds 0 .. n - 1, or a list.",
    )
    extend: Further | None = Field(
        default=None,
        description="Largest number of values to add on each side of each list, which they "
        "continue, while the optimum lies on the edge there.",
    )
    skip_unstable: Flag = Field(
        default=False,
        description="Leave out cells whose beta is beyond what the steps of inference "
        "survives (thesis 5.4.1), at the tuned shape and at the targets.",
    )
    prune: Annotated[Pruner, PRUNING.marker()] | None = Field(
        default=None,
        description="Stop cells of the search early that will not be the best: the name of a "
        "pruner, or a mapping with its options. It changes no run's id.",
    )

    @property
    def shape(self) -> Shape:
        """The small network's size."""
        return Shape(width=self.width, depth=self.depth)


def _family(value: object) -> object:
    alone = isinstance(value, str) or (is_thing(value) and not isinstance(value, NetworkSpec))
    return {"family": value} if alone else value


def _named(value: object) -> object:
    alone = isinstance(value, str) or (is_thing(value) and not isinstance(value, VariantSpec))
    return {"name": value} if alone else value


Variant = Annotated[
    VariantSpec,
    BeforeValidator(_named, json_schema_input_type=VariantSpec | Annotated[str, NameIn(VARIANTS)]),
]


def _usual_variants(given: Mapping[str, object]) -> tuple[VariantSpec, ...]:
    network = given.get("network")
    family = (network if isinstance(network, NetworkSpec) else NetworkSpec()).family
    return (VariantSpec(name="mupc" if family.takes("parameterisation") else "pc"),)


class Settings(Section):
    """Everything in an experiment but where its optimum goes: what is trained, and the search."""

    name: Label = Field(description="A name for the experiment, which the ledger records.")
    dataset: DatasetField = Field(
        description=f"The name of a data set, one of {', '.join(pccore.data.DATASETS)}; or a file "
        "of your own."
    )
    mode: Annotated[Mode, Options(MODES, base=Mode).marker()] = Field(
        default=DiscriminativeMode(),
        description="What the networks learn: targets from inputs, inputs from targets, or inputs "
        "alone.",
    )
    network: Annotated[
        NetworkSpec, BeforeValidator(_family, json_schema_input_type=NetworkSpec | Reference)
    ] = Field(
        default=NetworkSpec(),
        description="The networks, apart from their size; a function of your own is their family.",
    )
    variants: ListOf[Variant] = Field(
        default_factory=_usual_variants,
        description="The variants to compare: names, or mappings with rates of their own. By "
        "default mupc, and pc where the layers have scalings of their own.",
        json_schema_extra={"default": [{"name": "mupc"}]},
    )
    training: TrainingSpec = Field(description="A mapping with epochs or steps.")
    tune: TuneSpec = Field(description="A mapping with width, depth and learning rates.")
    keep: Annotated[str, NameIn(KEEP)] = Field(
        default="optima",
        description="Trained networks that are kept beside the ledger: optima (every run at every "
        "target if they take at most 64 MiB there, else those of the transferred cells), all or "
        "none.",
    )

    @property
    def data(self) -> pccore.data.DatasetInfo:
        """The description of the data set that networks are trained on."""
        return self.mode.info(info_of(self.dataset))

    @property
    def own_data(self) -> pccore.data.Dataset | None:
        """What networks are trained on if it is the user's own; None if workers load it by name."""
        return None if isinstance(self.dataset, str) else self.mode.dataset(own_data(self.dataset))

    @property
    def searched(self) -> tuple[tuple[str, Grid | Range], ...]:
        """The rates that variants search, each with its key in the spec, once."""
        found: dict[str, Grid | Range] = {}
        for place, variant in enumerate(self.variants):
            for name, values in self.space(variant).searched.items():
                own = getattr(variant, name) is not None
                found[(f"variants[{place}]" if own else "tune") + f".{name}"] = values
        return tuple(found.items())

    @property
    def steps(self) -> int:
        """Weight updates of every training run."""
        training = self.training
        if training.steps is not None:
            return training.steps
        per_epoch = self.data.train_size // training.batch_size
        # 0.29 x 100 is 28.999...: a whole number of batches must not lose one.
        return int((training.epochs or 0) * per_epoch + 1e-9)

    def space(self, variant: VariantSpec) -> Space:
        """Return the cells that `variant` may take."""
        weight_lr = variant.weight_lr or self.tune.weight_lr
        activity_lr = self.activity_lr(variant)
        searched = activity_lr if isinstance(activity_lr, Grid | Range) else None
        return Space(weight_lr, searched)

    def activity_lr(self, variant: VariantSpec) -> ActivityLr | None:
        """Return the betas of `variant`, or the rule that sets them; None if it has none."""
        if not self.has_activity_lr(variant):
            return None
        return variant.activity_lr or self.tune.activity_lr

    def has_activity_lr(self, variant: VariantSpec) -> bool:
        """Return whether `variant` infers activities by a scheme that has a beta."""
        return VARIANTS[variant.name].infers and self.training.inference.uses_activity_lr

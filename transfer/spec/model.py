"""An experiment as its author writes it: YAML or Python, validated where it is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

import pccore
from transfer.search.samplers import SAMPLERS
from transfer.shapes import Shape
from transfer.space import Grid, Range, Space
from transfer.spec import fields, options, schemes
from transfer.spec.checks import problems
from transfer.spec.errors import SpecError, spec_error
from transfer.spec.schemes import InferenceSpec
from transfer.spec.transfer_rules import TransferRule, ZeroShot, read_rules, rules_as_yaml
from transfer.spec.variants import VARIANTS
from transfer.spec.yaml import parse_yaml, read_yaml, write_yaml

Width = Annotated[int, PlainValidator(fields.width)]
Depth = Annotated[int, PlainValidator(fields.depth)]
Widths = Annotated[
    tuple[int, ...], PlainValidator(fields.list_of(fields.width)), PlainSerializer(list)
]
Depths = Annotated[
    tuple[int, ...], PlainValidator(fields.list_of(fields.depth)), PlainSerializer(list)
]
Count = Annotated[int, PlainValidator(fields.count)]
Flag = Annotated[bool, PlainValidator(fields.flag)]
Rates = Annotated[Grid | Range, PlainValidator(fields.rates), PlainSerializer(fields.rates_as_yaml)]

DEFAULT_IN_FLIGHT = 8


class Section(BaseModel):
    """Part of a spec: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class TargetSpec(Section):
    """One target: `depth` hidden layers of `width` units each."""

    width: Width = Field(description="a number of units per hidden layer")
    depth: Depth = Field(description="a number of hidden layers")

    @property
    def shape(self) -> Shape:
        """The target's size."""
        return Shape(self.width, self.depth)


class NetworkSpec(Section):
    """The networks of an experiment, but for their size and parameterisation.

    Attributes:
        activation: names in `pccore.ACTIVATIONS`, one or a list: each variant is tuned for each.
        residual: skip connections between hidden layers.
        output: the output energy, a name in `pccore.OUTPUTS`.
        skip: how many layers a skip connection spans.
        bias: whether layers have biases.
        activity_decay: alpha of the energy of hidden activities.
        output_precision: the weight of the output's energy; those of the hidden layers are 1.
    """

    activation: Annotated[
        tuple[str, ...],
        PlainValidator(fields.activations),
        PlainSerializer(fields.activations_as_yaml),
    ] = ("relu",)
    residual: Flag = True
    output: Annotated[str, PlainValidator(fields.name_in(pccore.OUTPUTS))] = "mse"
    skip: Depth = 1
    bias: Flag = False
    activity_decay: Annotated[float, PlainValidator(fields.decay)] = 0.0
    output_precision: Annotated[float, PlainValidator(fields.rate)] = 1.0


class VariantSpec(Section):
    """One of the variants compared; in YAML its name, or a mapping.

    Attributes:
        name: a name in `transfer.VARIANTS`.
        weight_lr: searched instead of `tune.weight_lr`.
        activity_lr: searched instead of `tune.activity_lr`.
    """

    name: Annotated[str, PlainValidator(fields.name_in(VARIANTS))] = Field(
        description=f"one of {', '.join(VARIANTS)}"
    )
    weight_lr: Rates | None = None
    activity_lr: Rates | None = None


class TrainingSpec(Section):
    """How every network is trained.

    Attributes:
        batch_size: B, on which the meaning of activity learning rates depends.
        epochs: passes over the training set, each of floor(n / B) weight updates; or else
        steps: weight updates.
        optimiser: a name in `pccore.OPTIMISERS`, in YAML also a mapping with its options.
        inference: of variants that infer activities: a name in `pccore.INFERENCE` with the options
            of that scheme, of which `steps` may be "depth".
        start: where inference begins, a name in `pccore.STARTS`, in YAML also with its options.
        penalties: on the weights, names in `pccore.PENALTIES` with their options.
        eval_every: weight updates between two evaluations on the test set (thesis C.4: 300).
    """

    batch_size: Count = 64
    epochs: Annotated[float, PlainValidator(fields.epochs)] | None = None
    steps: Count | None = None
    optimiser: Annotated[
        pccore.Optimiser,
        PlainValidator(options.thing_in(pccore.OPTIMISERS)),
        PlainSerializer(options.as_yaml(pccore.OPTIMISERS)),
    ] = pccore.Adam()
    inference: Annotated[
        InferenceSpec, PlainValidator(schemes.inference), PlainSerializer(schemes.inference_as_yaml)
    ] = InferenceSpec()
    start: Annotated[
        pccore.Start,
        PlainValidator(options.thing_in(pccore.STARTS)),
        PlainSerializer(options.as_yaml(pccore.STARTS)),
    ] = pccore.ForwardStart()
    penalties: Annotated[
        tuple[pccore.Penalty, ...],
        PlainValidator(options.things_in(pccore.PENALTIES)),
        PlainSerializer(options.all_as_yaml(pccore.PENALTIES)),
    ] = ()
    eval_every: Count = 300


class TuneSpec(Section):
    """The search on the small network.

    Attributes:
        width: N of the small network.
        depth: H of the small network.
        weight_lr: eta, a list or a range.
        activity_lr: beta, a list or a range; needed unless every variant has its own or none, and
            left out where the inference scheme has none.
        sampler: a name in `transfer.search.samplers.SAMPLERS`; "grid" takes every cell of two
            lists.
        trials: cells to ask another sampler for.
        in_flight: cells that another sampler is asked for before the first of them is done; default
            8. It is a setting, and not the pool's, so that every pool finds the same cells.
        seeds: of the tuning and of the transfer. In YAML a count n for 0 .. n - 1, or a list.
        skip_unstable: leave out cells whose beta is beyond what gradient descent on the activities
            survives (thesis 5.4.1; `transfer.engine.step_limits`), at the tuned shape and at the
            targets.
    """

    width: Width = Field(description="a number of units per hidden layer")
    depth: Depth = Field(description="a number of hidden layers")
    weight_lr: Rates = Field(description="a list of learning rates, or a range")
    activity_lr: Rates | None = None
    sampler: Annotated[str, PlainValidator(fields.name_in(SAMPLERS))] = "grid"
    trials: Count | None = None
    in_flight: Count | None = None
    seeds: Annotated[
        tuple[int, ...], PlainValidator(fields.seeds), PlainSerializer(fields.seeds_as_yaml)
    ] = (0, 1, 2)
    skip_unstable: Flag = False

    @property
    def shape(self) -> Shape:
        """The small network's size."""
        return Shape(width=self.width, depth=self.depth)


class TransferSpec(Section):
    """Where the optimum is rerun, and how it is judged.

    Attributes:
        rules: by which the tuned rates go to the targets, names in
            `transfer.spec.transfer_rules.TRANSFER_RULES` with their options, one or a list; all are
            judged by all cells that run at the target.
        depths: with `widths`: the targets are every depth at every width.
        widths: a missing list means the tuned width, or the tuned depth.
        targets: the targets one by one, instead of `depths` and `widths`.
        neighbourhood: how many places around the transferred cell, in each rate, run at the target
            too, so that the claim can fail; "all" means every cell. A place is a value of the list,
            around a cell off the list its mean ratio, and in a range an octave.
        tolerance: by how much, relatively, the loss at the transferred cell may exceed the best
            found at the target for the optimum to have held.
    """

    rules: Annotated[
        tuple[TransferRule, ...], PlainValidator(read_rules), PlainSerializer(rules_as_yaml)
    ] = (ZeroShot(),)
    depths: Depths | None = None
    widths: Widths | None = None
    targets: Annotated[tuple[TargetSpec, ...], BeforeValidator(fields.sections)] | None = None
    neighbourhood: Annotated[int | Literal["all"], PlainValidator(fields.neighbourhood)] = 1
    tolerance: Annotated[float, PlainValidator(fields.tolerance)] = 0.1


class Experiment(Section):
    """Tune each variant on a small network, rerun its optimum on large ones, judge.

    Build one with `from_dict`, `from_yaml` or `transfer.load`, whose errors are sentences.

    Attributes:
        name: of the experiment, in the ledger.
        dataset: a name in `pccore.data.DATASETS`.
        network: what the networks are, but for their size.
        variants: what is compared.
        training: how every network is trained.
        tune: the search on the small network.
        transfer: where the optimum is rerun.
    """

    name: Annotated[str, PlainValidator(fields.label)] = Field(description="a name")
    dataset: Annotated[str, PlainValidator(fields.name_in(pccore.data.DATASETS))] = Field(
        description=f"one of {', '.join(pccore.data.DATASETS)}"
    )
    network: NetworkSpec = NetworkSpec()
    variants: Annotated[tuple[VariantSpec, ...], BeforeValidator(fields.variants)] = (
        VariantSpec(name="mupc"),
    )
    training: TrainingSpec = Field(description="a mapping with epochs or steps")
    tune: TuneSpec = Field(description="a mapping with width, depth and learning rates")
    transfer: TransferSpec = Field(description="a mapping with depths, widths or targets")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(problems(self))
        if found:
            raise SpecError(found)
        return self

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The experiment that a mapping with the keys of the YAML describes.

        Raises:
            SpecError: one sentence per problem.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise spec_error(error, cls) from None

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """The experiment that YAML `text` describes.

        Raises:
            SpecError: one sentence per problem.
        """
        return cls.from_dict(parse_yaml(text))

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads back as this experiment: mappings, lists, numbers and strings."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["variants"] = [
            variant["name"] if len(variant) == 1 else variant for variant in values["variants"]
        ]
        return values

    def to_yaml(self) -> str:
        """What `from_yaml` reads back as this experiment."""
        return write_yaml(self.to_dict())

    @property
    def targets(self) -> tuple[Shape, ...]:
        """The shapes at which the optimum is rerun, in the order of the spec."""
        transfer = self.transfer
        if transfer.targets is not None:
            return tuple(target.shape for target in transfer.targets)
        return tuple(
            Shape(width=width, depth=depth)
            for width in transfer.widths or (self.tune.width,)
            for depth in transfer.depths or (self.tune.depth,)
        )

    @property
    def tuned(self) -> tuple[Shape, ...]:
        """The shapes that are searched: the tuned one, and those that a rule is fitted to."""
        tuned = self.tune.shape
        others = (shape for rule in self.transfer.rules for shape in rule.shapes(tuned))
        return tuple(dict.fromkeys((tuned, *others)))

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
        """Weight updates of every training."""
        training = self.training
        if training.steps is not None:
            return training.steps
        per_epoch = pccore.data.info(self.dataset).train_size // training.batch_size
        # 0.29 x 100 is 28.999...: a whole number of batches must not lose one.
        return int((training.epochs or 0) * per_epoch + 1e-9)

    def space(self, variant: VariantSpec) -> Space:
        """The cells that `variant` may take."""
        weight_lr = variant.weight_lr or self.tune.weight_lr
        activity_lr = variant.activity_lr or self.tune.activity_lr
        return Space(weight_lr, activity_lr if self.has_activity_lr(variant) else None)

    def has_activity_lr(self, variant: VariantSpec) -> bool:
        """Whether `variant` infers activities, by a scheme that has a beta."""
        return VARIANTS[variant.name].infers and self.training.inference.uses_activity_lr


def load(path: Path | str) -> Experiment:
    """The experiment that a YAML file describes.

    Raises:
        SpecError: the file cannot be read, or one sentence per problem in it.
    """
    return Experiment.from_dict(read_yaml(path))

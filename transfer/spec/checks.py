"""Checks between the keys of an experiment that are each valid by themselves."""

from collections.abc import Iterator

import pccore
from pccore.networks.stacked import ACTIVATION_FIRST
from transfer.search.samplers import SAMPLERS
from transfer.space import Grid
from transfer.spec.building import has_measurable_limit, training_config
from transfer.spec.families import FAMILIES, OF_LAYERS
from transfer.spec.fields import LARGEST_COUNT
from transfer.spec.sections import Settings
from transfer.spec.targets import TransferSpec
from transfer.spec.variants import VARIANTS

MOST_CELLS = 10_000


def problems(settings: Settings, transfer: TransferSpec) -> list[str]:
    """Return one sentence per contradiction."""
    found = [
        *_training(settings),
        *_variants(settings),
        *_sampler(settings),
        *_size(settings),
        *_transfer(settings, transfer),
        *_unused(settings),
    ]
    found = found or list(_incompatible(settings, transfer))
    return found or [*_skipping(settings), *_rules(settings, transfer)]


def _training(settings: Settings) -> Iterator[str]:
    training, info = settings.training, settings.data
    if (training.epochs is None) == (training.steps is None):
        given = "neither" if training.epochs is None else "both"
        yield f"training must have either epochs or steps, got {given}"
    if training.batch_size > info.train_size:
        yield (
            f"training.batch_size must be at most {info.train_size:,}, the training samples of "
            f"{info.name}, got {training.batch_size:,}"
        )
    elif training.epochs is not None and settings.steps < 1:
        yield f"training.epochs must amount to at least one step, got {training.epochs:g}"
    elif settings.steps > LARGEST_COUNT:
        yield f"training.epochs must amount to at most {LARGEST_COUNT:,} steps"
    schedule = training.optimiser.schedule
    if schedule is not None and schedule.warmup >= settings.steps:
        yield (
            "training.optimiser.schedule.warmup must be below the weight updates of a training, "
            f"{settings.steps:,}, got {schedule.warmup:,}"
        )
    if settings.network.output == "cross_entropy" and info.task != "classification":
        yield (
            f"network.output must be 'mse' for {info.name}, which is a {info.task}, "
            f"got {settings.network.output!r}"
        )


def _variants(settings: Settings) -> Iterator[str]:
    names = [variant.name for variant in settings.variants]
    inference = settings.training.inference
    for place, variant in enumerate(settings.variants):
        infers = VARIANTS[variant.name].infers
        if variant.name in names[:place]:
            yield f"variants[{place}] must not be given twice, got {variant.name!r}"
        if variant.activity_lr is not None and not settings.has_activity_lr(variant):
            why = f"inference {inference.scheme} has no activity learning rate"
            why = why if infers else f"{variant.name} infers no activities"
            yield f"variants[{place}].activity_lr must be left out: {why}"
    if settings.tune.activity_lr is not None and not inference.uses_activity_lr:
        yield (
            f"tune.activity_lr must be left out: inference {inference.scheme} has no activity "
            "learning rate"
        )
    without = [
        variant.name
        for variant in settings.variants
        if settings.has_activity_lr(variant) and variant.activity_lr is None
    ]
    if without and settings.tune.activity_lr is None:
        yield (
            "tune.activity_lr is missing: give a list of learning rates, or a range, for "
            f"{' and '.join(without)}"
        )


def _sampler(settings: Settings) -> Iterator[str]:
    tune = settings.tune
    exhaustive = SAMPLERS[tune.sampler].exhaustive
    if not exhaustive and tune.trials is None:
        yield f"tune.trials is missing: sampler {tune.sampler} needs the number of cells to try"
    for key in ("trials", "in_flight"):
        value = getattr(tune, key)
        if exhaustive and value is not None:
            yield (
                f"tune.{key} must be left out, as sampler {tune.sampler} tries every cell, "
                f"got {value}"
            )
    if tune.extend and not exhaustive:
        yield (
            f"tune.extend must be left out for sampler {tune.sampler}: it extends lists of a "
            f"grid, got {tune.extend}"
        )
    if tune.trials is not None and tune.trials > MOST_CELLS:
        yield f"tune.trials must be at most {MOST_CELLS:,}, got {tune.trials:,}"
    others = [name for name, sampler in SAMPLERS.items() if not sampler.exhaustive]
    for key, values in settings.searched:
        if exhaustive and not isinstance(values, Grid):
            yield (
                f"{key} must be a list for sampler {tune.sampler}, got a range: give a list, or "
                f"choose from {', '.join(others)}"
            )


def _size(settings: Settings) -> Iterator[str]:
    for variant in settings.variants:
        space = settings.space(variant)
        cells = len(space.cells) if space.enumerable else 0
        if cells > MOST_CELLS:
            yield (
                f"the learning rates of {variant.name} must make at most {MOST_CELLS:,} cells, "
                f"got {cells:,}"
            )


def _transfer(settings: Settings, transfer: TransferSpec) -> Iterator[str]:
    lists = [key for key in ("depths", "widths") if getattr(transfer, key) is not None]
    if transfer.targets is None and not lists:
        yield "transfer must have depths, widths or targets, got none of them"
    if transfer.targets is not None and lists:
        yield f"transfer.{lists[0]} must be left out when transfer.targets lists the shapes"
    yield from transfer.problems(settings.tune.seeds)
    if transfer.neighbourhood != "all":
        return
    for key, values in settings.searched:
        if not isinstance(values, Grid):
            yield f"{key} must be a list for transfer.neighbourhood 'all', got a range"


def _rules(settings: Settings, transfer: TransferSpec) -> Iterator[str]:
    """Yield what each rule refuses."""
    targets = transfer.shapes(settings.tune.shape)
    for place, rule in enumerate(transfer.rules):
        for refusal in rule.refusals(settings, targets):
            yield f"transfer.rules[{place}]{refusal}"


def _unused(settings: Settings) -> Iterator[str]:
    """Yield settings on which nothing in the experiment depends."""
    network, training = settings.network, settings.training
    for key in OF_LAYERS:
        usual = type(network).model_fields[key].default
        if not network.family.takes(key) and getattr(network, key) != usual:
            name = FAMILIES.name_of(type(network.family))
            yield f"network.{key} must be left out: the family {name} has no parameter {key}"
    if network.order != ACTIVATION_FIRST and set(network.activations) == {"linear"}:
        yield "network.order must be left out: linear networks are the same in both orders"
    begins = training.start != pccore.ForwardStart()
    if begins and not training.inference.uses_start:
        yield (
            f"training.start must be left out: inference {training.inference.scheme} does not "
            "depend on where it begins"
        )
    if any(VARIANTS[variant.name].infers for variant in settings.variants):
        return
    given = {
        "network.activity_decay": network.activity_decay != 0,
        "network.output_precision": network.output_precision != 1,
        "network.hidden_precision": network.hidden_precision != 1,
        "training.start": begins,
    }
    names = " and ".join(variant.name for variant in settings.variants)
    for key in (key for key, is_given in given.items() if is_given):
        yield f"{key} must be left out: {names} infers no activities"


def _incompatible(settings: Settings, transfer: TransferSpec) -> Iterator[str]:
    """Yield the settings that the variants' configurations refuse, each once."""
    tuned, refused = settings.tune.shape, dict[str, list[str]]()
    shapes = (*transfer.tuned_shapes(tuned), *transfer.shapes(tuned))
    for variant in settings.variants:
        try:
            for activation in settings.network.activations:
                for shape in shapes:
                    training_config(settings, variant, activation, shape)
        except ValueError as error:
            refused.setdefault(str(error), []).append(variant.name)
    for rule, names in refused.items():
        yield f"{' and '.join(names)} cannot be trained: {rule}"


def _skipping(settings: Settings) -> Iterator[str]:
    """Refuse to skip cells where no variant has a step limit."""
    shape, activation = settings.tune.shape, settings.network.activations[0]
    names = [variant.name for variant in settings.variants]
    configs = [training_config(settings, each, activation, shape) for each in settings.variants]
    if settings.tune.skip_unstable and not any(has_measurable_limit(c) for c in configs):
        yield (
            "tune.skip_unstable must be false: no limit can be measured of the activity learning "
            f"rates of {' and '.join(names)} with inference {settings.training.inference.scheme}"
        )

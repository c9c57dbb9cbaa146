"""The configurations that `pccore` trains, made from the settings of an experiment."""

from functools import cache

import jax

import pccore
from pccore.jax_settings import pinned
from pccore.theory.probe_registry import RULE_PROBES
from pccore.theory.stability import has_step_limit
from results.shapes import Shape
from transfer.spec.sections import Settings, VariantSpec
from transfer.spec.variants import VARIANTS


def training_config(
    settings: Settings, variant: VariantSpec, activation: str, shape: Shape
) -> pccore.TrainingConfig:
    """Return what the runs of a variant with an activation share at a shape.

    Raises:
        ValueError: settings that are each valid but incompatible.
    """
    data, network, training = (
        settings.data,
        settings.network,
        settings.training,
    )
    sized = network.family.build(
        input_size=data.input_size,
        output_size=data.output_size,
        width=shape.width,
        depth=shape.depth,
        activation=activation,
        residual=network.residual,
        output=network.output,
        skip=network.skip,
        bias=network.bias,
        order=network.order,
        precisions=network.precisions,
        activity_decay=network.activity_decay,
        initial_std=network.initial_std,
    )
    inference = training.inference.build(shape.depth)
    activity_lr = settings.activity_lr(variant)
    config, rule = VARIANTS[variant.name].build(sized, inference, training.start)
    made = pccore.TrainingConfig(
        network=config,
        rule=rule,
        optimiser=training.optimiser,
        batch_size=training.batch_size,
        steps=settings.steps,
        eval_every=training.eval_every,
        penalties=training.penalties,
        probes=tuple(RULE_PROBES[name](rule) for name in training.probes),
        activity_lr=activity_lr if isinstance(activity_lr, pccore.SpectralActivityLr) else None,
    )
    return settings.mode.training(made)


def has_measurable_limit(config: pccore.TrainingConfig) -> bool:
    """Return whether the stable limit of beta can be measured on the untrained network.

    It can for one stack of layers whose scheme states a limit. With a beta set from the spectrum,
    cells have none to compare.
    """
    measurable = isinstance(config.network, pccore.NetworkConfig) and has_step_limit(config.rule)
    return measurable and config.activity_lr is None


# Diffrax computes while it is traced, which would claim a GPU that the workers need. It integrates
# the flow of any network, so that tracing would find nothing.
UNTRACED = (pccore.GradientFlow, pccore.AdaptiveFlow)


@cache
def trace(config: pccore.TrainingConfig) -> None:
    """Trace one training step without computing it, to find what only compilation would find.

    Raises:
        ValueError: an inference scheme, a penalty, an optimiser or a probe that cannot work on the
            network.
    """
    if isinstance(config.rule.inference, UNTRACED):
        return

    def step(seed: jax.Array, x: jax.Array, y: jax.Array, beta: jax.Array) -> None:
        key = jax.random.key(seed)
        network = config.network.build(key)
        _, gradients = config.rule.gradients(network, x, y, beta, key)
        for penalty in config.penalties:
            penalty(network)
        state = config.optimiser.init(network)
        _require_alike("gradients", gradients, network)
        change, after = config.optimiser.update(gradients, state, network, beta)
        _require_alike("steps of the optimiser", change, network)
        _require_alike("states of the optimiser", after, state)
        for probe in config.probes:
            probe.measure(network, x, y, beta)

    B, D, K = config.batch_size, config.network.input_size, config.network.output_size
    float32 = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((B, D), (B, K), ())]
    with pinned():
        jax.eval_shape(step, jax.ShapeDtypeStruct((), "uint32"), *float32)


def _require_alike(what: str, one: object, other: object) -> None:
    """Raise `ValueError` unless two trees have the same arrays, as training needs."""
    if str(jax.tree.structure(one)) != str(jax.tree.structure(other)):
        raise ValueError(f"the {what} do not have the structure that they update")
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        got, needed = (jax.numpy.shape(each) for each in (a, b))
        kinds = [jax.numpy.result_type(each) for each in (a, b)]
        if got != needed or kinds[0] != kinds[1]:
            raise ValueError(
                f"the {what} must be arrays of shape {needed} and type {kinds[1]}, got {got} and "
                f"{kinds[0]}"
            )

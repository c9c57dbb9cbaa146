"""Training: many runs of one shape as the lanes of one compiled program.

The data set lives on the device; batches are gathered there, losses are collected there, and leave
it once per evaluation. Learning rates and seeds are traced: a program compiles once per shape.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from pccore.assessment import Chance, assess
from pccore.configs import Lane, TrainingConfig
from pccore.data import Dataset
from pccore.networks import Network
from pccore.outcomes import Outcome
from pccore.probes import Probed, readings_of
from pccore.snapshots import Pace, Snapshots, decode, encode

# A loss this many times the larger of its first value and that of predicting zero has blown up.
# Not only NaN: blow-ups also end in huge finite losses.
DIVERGENCE_FACTOR = 1e3
TEST_CHUNK = 1000
# XLA keeps to 256 bits on CPUs that have 512: 6% of a step at 8 x 128 (docs/log.md).
COMPILER_OPTIONS = {"xla_cpu_prefer_vector_width": 512}

Values = TypeVar("Values")


class Samples(NamedTuple):
    """Samples on the device, as stored: inputs raw, targets as labels or vectors."""

    inputs: Array
    targets: Array
    mean: Array
    std: Array

    def take(self, index: Int[Array, " B"], outputs: int) -> tuple[Array, Array]:
        """Standardised inputs (B, D) and target vectors (B, K), labels one-hot."""
        x = (self.inputs[index].astype(float) - self.mean) / self.std
        y = self.targets[index]
        return x, jax.nn.one_hot(y, outputs) if y.ndim == 1 else y


class LaneState(NamedTuple):
    """One lane's part of the program's state."""

    network: Network
    optimiser: optax.OptState
    losses: Float[Array, " steps"]
    limit: Float[Array, ""]
    alive: Bool[Array, ""]


class Rates(NamedTuple):
    """The traced hyperparameters of a lane."""

    weight: Float[Array, ""]
    activity: Float[Array, ""]


class Progress(NamedTuple):
    """A training so far.

    Attributes:
        state: of all lanes.
        tests: test loss and accuracy of all lanes, at each evaluation.
        probed: what the probes gave before the first update and at each evaluation.
    """

    state: LaneState
    tests: list[tuple[Array, Array]]
    probed: list[Probed]


class Trained(NamedTuple):
    """A trained network and what became of its training.

    Attributes:
        network: its weights at the end, in the class that `config.network.build` gives.
        outcome: losses, accuracy, status.
    """

    network: Any
    outcome: Outcome


def train(
    config: TrainingConfig,
    dataset: Dataset,
    lane: Lane,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Trained:
    """Train one network and return it. See `fit_many`."""
    state, outcomes = _run(config, dataset, [lane], on_progress)
    return Trained(jax.tree.map(lambda weights: weights[0], state.network), outcomes[0])


def fit(
    config: TrainingConfig,
    dataset: Dataset,
    lane: Lane,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Train one network. See `fit_many`."""
    return fit_many(config, dataset, [lane], on_progress=on_progress)[0]


def fit_many(
    config: TrainingConfig,
    dataset: Dataset,
    lanes: Sequence[Lane],
    *,
    on_progress: Callable[[int], None] | None = None,
    snapshots: Snapshots | None = None,
) -> list[Outcome]:
    """Train one network per lane, all in one compiled program.

    A lane and a lone run agree to float32 rounding. A lane that diverges ends in `Status.DIVERGED`
    and does not disturb the others; when all have, training stops.

    Args:
        config: what the runs share.
        dataset: what they learn; it stays on the device for the next call.
        lanes: what tells them apart.
        on_progress: called with the number of weight updates done at every evaluation; what it
            raises ends the training.
        snapshots: where a snapshot of all lanes comes from and goes to. Training goes on from one
            with the numbers that it would have had unbroken, bit for bit on the same kind of
            device. It must be of the same config, data set and lanes; one of other shapes is warned
            of, and training begins at the beginning.

    Returns:
        One outcome per lane, in their order. Numerical failure is an outcome, not an exception.

    Raises:
        ValueError: no lanes; the data set does not fit the network; fewer samples than one batch; a
            lane without the activity learning rate that the rule needs.
    """
    return _run(config, dataset, lanes, on_progress, snapshots)[1]


def _run(
    config: TrainingConfig,
    dataset: Dataset,
    lanes: Sequence[Lane],
    on_progress: Callable[[int], None] | None,
    snapshots: Snapshots | None = None,
) -> tuple[LaneState, list[Outcome]]:
    """The last state of all lanes, and their outcomes."""
    _check(config, dataset, lanes)
    train, test = _on_device(dataset, config.batch_shards)
    seeds = jnp.array([lane.seed for lane in lanes], jnp.uint32)
    rates = Rates(
        jnp.array([lane.weight_lr for lane in lanes], float),
        jnp.array([lane.activity_lr or 0.0 for lane in lanes], float),
    )

    def probed(network: Network) -> Probed:
        return _probe(config, network, rates, train) if config.probes else ()

    def begun() -> Progress:
        state = _start(config, seeds)
        return Progress(state, [], [probed(state.network)])

    def evaluated(progress: Progress) -> Progress:
        state, network = progress.state, progress.state.network
        tests = [*progress.tests, _evaluate(network, test)]
        return Progress(state, tests, [*progress.probed, probed(network)])

    step, progress = _resumed(config, begun, evaluated, snapshots) or (0, begun())
    if config.steps == 0:
        progress = progress._replace(tests=[_evaluate(progress.state.network, test)])
    if config.batch_shards > 1:
        progress = progress._replace(state=_on_every_shard(progress.state, config.batch_shards))
    per_epoch = len(dataset.train_x) // config.batch_size
    pace = Pace() if snapshots is not None else None
    order = None
    while step < config.steps:
        stop = _next_stop(config, per_epoch, step, pace)
        if order is None or step % per_epoch == 0:
            order = _shuffle(seeds, step // per_epoch, len(dataset.train_x))
        with pace.timed(stop - step) if pace else nullcontext():
            state = _train(
                config, progress.state, rates, seeds, train, order, step, stop, per_epoch
            )
            if pace:
                jax.block_until_ready(state)
        step, progress = stop, progress._replace(state=state)
        if step % config.eval_every == 0 or step == config.steps:
            progress = evaluated(progress)
            alive = bool(jnp.any(state.alive))
            if on_progress is not None:
                on_progress(step)
            if not alive:
                break
        if snapshots is not None and step < config.steps:
            snapshots.offer(partial(encode, step, progress))
    return progress.state, _outcomes(config, progress, Chance.of(dataset))


def _resumed(
    config: TrainingConfig,
    begun: Callable[[], Progress],
    evaluated: Callable[[Progress], Progress],
    snapshots: Snapshots | None,
) -> tuple[int, Progress] | None:
    """The updates done and the training after them, if there is a snapshot of it."""
    data = None if snapshots is None else snapshots.load()
    if data is None:
        return None

    def like(step: int) -> Progress:
        progress = jax.eval_shape(begun)
        for _ in range(step // config.eval_every):
            progress = jax.eval_shape(evaluated, progress)
        return progress

    try:
        return decode(data, like)
    except ValueError as error:
        warnings.warn(f"training begins again: {error}", RuntimeWarning, stacklevel=2)
        return None


def _outcomes(config: TrainingConfig, progress: Progress, chance: Chance) -> list[Outcome]:
    """What became of every lane, from what was collected on the device."""
    losses, limits = np.asarray(progress.state.losses), np.asarray(progress.state.limit)
    last, every = config.steps, config.eval_every
    steps = [*range(every, last, every), last][: len(progress.tests)]
    test_loss, accuracy = np.array(progress.tests).transpose(1, 2, 0)
    readings = readings_of(
        config.probes, list(zip([0, *steps], progress.probed, strict=False)), len(losses)
    )
    return [
        replace(
            assess(losses[i], limits[i], np.array(steps), test_loss[i], accuracy[i], chance),
            readings=readings[i],
        )
        for i in range(len(losses))
    ]


def _check(config: TrainingConfig, dataset: Dataset, lanes: Sequence[Lane]) -> None:
    network = config.network
    sizes = (network.input_size, network.output_size)
    if not lanes:
        raise ValueError("there are no lanes to train")
    if sizes != (dataset.input_size, dataset.output_size):
        raise ValueError(
            f"the network takes {sizes[0]} inputs and {sizes[1]} outputs, data set "
            f"{dataset.name!r} has {dataset.input_size} and {dataset.output_size}"
        )
    if config.batch_size > len(dataset.train_x):
        raise ValueError(
            f"batch_size {config.batch_size} exceeds the {len(dataset.train_x)} training samples "
            f"of data set {dataset.name!r}"
        )
    needs_beta = getattr(getattr(config.rule, "inference", None), "uses_activity_lr", False)
    if needs_beta and any(lane.activity_lr is None for lane in lanes):
        raise ValueError("predictive coding needs an activity_lr in every lane, got None")


def _next_stop(config: TrainingConfig, per_epoch: int, step: int, pace: Pace | None) -> int:
    """Where a stretch of updates ends that no evaluation, reshuffling or look interrupts."""
    return min(
        config.steps,
        (step // config.eval_every + 1) * config.eval_every,
        (step // per_epoch + 1) * per_epoch,
        step + pace.steps if pace else config.steps,
    )


_placing = Lock()


@lru_cache(maxsize=4)
def _placed(dataset: Dataset, device: jax.Device, shards: int) -> tuple[Samples, Samples]:
    # Not committed to the device: committed data would commit the state that a program returns, and
    # the next call would compile it again.
    with jax.default_device(device):
        mean, std = jnp.asarray(dataset.mean, float), jnp.asarray(dataset.std, float)
        samples = (
            Samples(jnp.asarray(dataset.train_x), jnp.asarray(dataset.train_y), mean, std),
            Samples(jnp.asarray(dataset.test_x), jnp.asarray(dataset.test_y), mean, std),
        )
    return samples if shards == 1 else _on_every_shard(samples, shards)


def _on_device(dataset: Dataset, shards: int) -> tuple[Samples, Samples]:
    """The training and the test set where they are needed, placed there once."""
    with _placing:  # threads that train side by side share one copy
        return _placed(dataset, jnp.zeros(()).device, shards)


def _on_every_shard(values: Values, shards: int) -> Values:
    """A copy on each device that takes a share of the batch."""
    return jax.device_put(values, NamedSharding(_mesh(shards), PartitionSpec()))


@partial(jax.jit, static_argnames="config")
def _start(config: TrainingConfig, seeds: Int[Array, " lanes"]) -> LaneState:
    def start(seed: Array) -> LaneState:
        network = config.network.build(jax.random.key(seed))
        return LaneState(
            network=network,
            optimiser=config.optimiser.transformation().init(network),
            losses=jnp.full(config.steps, jnp.nan, float),
            limit=jnp.array(jnp.inf, float),
            alive=jnp.array(True),
        )

    return jax.vmap(start)(seeds)


@partial(jax.jit, static_argnames="samples")
def _shuffle(seeds: Int[Array, " lanes"], epoch: int, samples: int) -> Int[Array, "lanes n"]:
    """The order of the training set in one epoch, by seed alone: all cells of a seed share it."""

    def order(seed: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), epoch)
        return jax.random.permutation(key, samples)

    return jax.vmap(order)(seeds)


@partial(
    jax.jit,
    static_argnames="config",
    donate_argnames="state",
    compiler_options=COMPILER_OPTIONS,
)
def _train(
    config: TrainingConfig,
    state: LaneState,
    rates: Rates,
    seeds: Int[Array, " lanes"],
    train: Samples,
    order: Int[Array, "lanes n"],
    start: Int[Array, ""],
    stop: Int[Array, ""],
    per_epoch: Int[Array, ""],
) -> LaneState:
    """Weight updates `start` to `stop` of every lane, while any of them is alive."""

    def body(carry: tuple[Array, LaneState]) -> tuple[Array, LaneState]:
        step, state = carry
        at = (step % per_epoch) * config.batch_size
        index = jax.lax.dynamic_slice_in_dim(order, at, config.batch_size, axis=1)
        update = partial(_update, config, train, step)
        return step + 1, jax.vmap(update)(state, rates, seeds, index)

    def unfinished(carry: tuple[Array, LaneState]) -> Array:
        step, state = carry
        return (step < stop) & jnp.any(state.alive)

    return jax.lax.while_loop(unfinished, body, (jnp.asarray(start), state))[1]


def _update(
    config: TrainingConfig,
    train: Samples,
    step: Int[Array, ""],
    state: LaneState,
    rates: Rates,
    seed: Int[Array, ""],
    index: Int[Array, " B"],
) -> LaneState:
    """One weight update of one lane."""
    network, output = state.network, config.network.output_energy
    x, y = train.take(index, config.network.output_size)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 2), step)
    loss, gradients = _gradients(config, network, x, y, rates.activity, key)
    for penalty in config.penalties:
        gradients = jax.tree.map(jnp.add, gradients, jax.grad(penalty)(network))
    transformation = config.optimiser.transformation()
    direction, optimiser = transformation.update(gradients, state.optimiser, network)
    null = jnp.mean(output.per_sample(y, jnp.zeros_like(y)))
    limit = jnp.where(step == 0, DIVERGENCE_FACTOR * jnp.maximum(loss, null), state.limit)
    alive = state.alive & (loss <= limit)
    return LaneState(
        network=jax.tree.map(lambda w, d: w - rates.weight * d, network, direction),
        optimiser=optimiser,
        losses=state.losses.at[step].set(jnp.where(alive, loss, jnp.nan)),
        limit=limit,
        alive=alive,
    )


def _gradients(
    config: TrainingConfig, network: Any, x: Array, y: Array, activity_lr: Array, key: Array
) -> tuple[Array, Any]:
    """Loss and weight gradients of a batch, whole or in `config.batch_shards` shards."""
    shards = config.batch_shards
    if shards == 1:
        return config.rule.gradients(network, x, y, activity_lr, key)

    def shard(network: Any, x: Array, y: Array, activity_lr: Array, key: Array) -> Any:
        # beta of the batch mean: a shard of B/s samples divides it by B/s instead of by B
        key = jax.random.fold_in(key, jax.lax.axis_index("batch"))
        result = config.rule.gradients(network, x, y, activity_lr / shards, key)
        return jax.tree.map(lambda value: jax.lax.pmean(value, "batch"), result)

    whole, split = PartitionSpec(), PartitionSpec("batch")
    return jax.shard_map(
        shard,
        mesh=_mesh(shards),
        in_specs=(whole, split, split, whole, whole),
        out_specs=whole,
        check_vma=False,
    )(network, x, y, activity_lr, key)


def _mesh(shards: int) -> Mesh:
    """The devices over which a batch is split."""
    devices = jax.local_devices()
    if len(devices) < shards:
        raise ValueError(
            f"batch_shards {shards} needs as many devices, this process has {len(devices)} "
            f"({devices[0].platform}); jax_num_cpu_devices sets how many a CPU counts as"
        )
    return Mesh(np.array(devices[:shards]), ("batch",))


@jax.jit
def _evaluate(
    network: Network, test: Samples
) -> tuple[Float[Array, " lanes"], Float[Array, " lanes"]]:
    """Mean loss and accuracy of every lane on the test set (accuracy NaN for regressions)."""
    n, classify = len(test.inputs), test.targets.ndim == 1

    def lane(network: Network) -> tuple[Array, Array]:
        config = network.config

        def chunk(index: Array) -> tuple[Array, Array]:
            x, y = test.take(jnp.minimum(index, n - 1), config.output_size)
            prediction = network.predict(x)
            correct = jnp.argmax(prediction, axis=-1) == jnp.argmax(y, axis=-1)
            loss = config.output_energy.per_sample(y, prediction)
            real = index < n
            return jnp.sum(jnp.where(real, loss, 0)), jnp.sum(jnp.where(real, correct, 0))

        size = min(n, TEST_CHUNK)
        losses, corrects = jax.lax.map(chunk, jnp.arange(-(-n // size) * size).reshape(-1, size))
        return jnp.sum(losses) / n, jnp.sum(corrects) / n if classify else jnp.array(jnp.nan)

    return jax.vmap(lane)(network)


@partial(jax.jit, static_argnames="config")
def _probe(config: TrainingConfig, network: Network, rates: Rates, train: Samples) -> Probed:
    """What the probes measure on every lane, on the first batch of the training set as stored."""
    x, y = train.take(jnp.arange(config.batch_size), config.network.output_size)

    def lane(network: Network, activity_lr: Array) -> Probed:
        return tuple(probe.measure(network, x, y, activity_lr) for probe in config.probes)

    return jax.vmap(lane)(network, rates.activity)

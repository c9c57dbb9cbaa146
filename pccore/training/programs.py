"""The compiled programs of training: initialise, update, evaluate and probe all lanes.

Learning rates and seeds are traced: a program compiles once per shape. Batches are gathered on the
device (`pccore.training.feed`).
"""

from functools import lru_cache, partial
from threading import Lock
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt

from pccore.data import Dataset
from pccore.jax_settings import PRNG
from pccore.networks.base import AbstractNetwork
from pccore.spectrum import lambda_max
from pccore.training.config import TrainingConfig
from pccore.training.probe import Probed

TEST_CHUNK = 1000
SPECTRUM_SAMPLES, SPECTRUM_PRODUCTS = 16, 16  # the result is 1 to 2% below lambda_max
# By default XLA uses 256 bits on CPUs with 512, which costs 6% of a step at 8 x 128.
# With several threads, Eigen's products differ from those of one thread in their last bits.
COMPILER_OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_cpu_multi_thread_eigen": False}
compiled = partial(jax.jit, compiler_options=COMPILER_OPTIONS)

Values = TypeVar("Values")


class Samples(NamedTuple):
    """Samples on the device as stored: raw inputs, and labels or vectors as targets."""

    inputs: Array
    targets: Array
    mean: Array
    std: Array

    def take(self, index: Int[Array, " B"], outputs: int) -> tuple[Array, Array]:
        """Return standardised inputs (B, D) and target vectors (B, K), with one-hot labels."""
        x = (self.inputs[index].astype(float) - self.mean) / self.std
        y = self.targets[index]
        return x, jax.nn.one_hot(y, outputs) if y.ndim == 1 else y


class LaneState(NamedTuple):
    """The state of one lane."""

    network: AbstractNetwork
    optimiser: optax.OptState
    losses: Float[Array, " steps"]
    limit: Float[Array, ""]
    alive: Bool[Array, ""]


class Rates(NamedTuple):
    """The traced hyperparameters of a lane."""

    weight: Float[Array, ""]
    activity: Float[Array, ""]


class Spectrum(NamedTuple):
    """The curvature of every lane, from which beta is set (`SpectralActivityLr`).

    Attributes:
        activity_lr: beta in use.
        lambda_max: the largest eigenvalue per sample at the last measurement.
        reached: the largest beta lambda_max / B measured while the lane was alive, each with the
            beta in use until then.
    """

    activity_lr: Float[Array, " lanes"]
    lambda_max: Float[Array, " lanes"]
    reached: Float[Array, " lanes"]

    @staticmethod
    def unmeasured(scale: float, lanes: int) -> "Spectrum":
        """Return the values before the first measurement, which sets beta lambda_max / B = c."""
        return Spectrum(*(jnp.full(lanes, value, float) for value in (0, 0, scale)))

    def readings(self) -> dict[str, Array]:
        """Return the values by the quantities that the ledger records."""
        return {
            "spectral_activity_lr": self.activity_lr,
            "spectral_lambda_max": self.lambda_max,
            "spectral_scale_reached": self.reached,
        }


_placing = Lock()


@lru_cache(maxsize=4)
def _placed(
    dataset: Dataset, device: jax.Device, shards: int, real: np.dtype
) -> tuple[Samples, Samples]:
    # Not committed to the device: committed data would commit the state that a program returns, and
    # the next call would recompile.
    with jax.default_device(device):
        mean, std = jnp.asarray(dataset.mean, real), jnp.asarray(dataset.std, real)
        samples = (
            Samples(jnp.asarray(dataset.train_x), jnp.asarray(dataset.train_y), mean, std),
            Samples(jnp.asarray(dataset.test_x), jnp.asarray(dataset.test_y), mean, std),
        )
    return samples if shards == 1 else on_every_shard(samples, shards)


def on_device(dataset: Dataset, shards: int) -> tuple[Samples, Samples]:
    """Return the training and the test set on the device, where they are placed once."""
    with _placing:  # threads that train side by side share one copy
        here = jnp.zeros(())  # of the default device and precision
        return _placed(dataset, here.device, shards, here.dtype)


def on_every_shard(values: Values, shards: int) -> Values:
    """Copy `values` to each device that has a shard of the batch."""
    return jax.device_put(values, NamedSharding(_mesh(shards), PartitionSpec()))


@partial(compiled, static_argnames="config")
def initial_networks(config: TrainingConfig, seeds: UInt[Array, " lanes"]) -> AbstractNetwork:
    """Return the networks of all lanes before the first update."""
    return jax.vmap(lambda seed: config.network.build(jax.random.key(seed, impl=PRNG)))(seeds)


@partial(compiled, static_argnames="config")
def start(config: TrainingConfig, networks: AbstractNetwork) -> LaneState:
    """Return the state of all lanes before the first update, from their initial networks."""

    def start(network: AbstractNetwork) -> LaneState:
        return LaneState(
            network=network,
            optimiser=config.optimiser.init(network),
            losses=jnp.full(config.steps, jnp.nan, float),
            limit=jnp.array(jnp.inf, float),
            alive=jnp.array(True),
        )

    return jax.vmap(start)(networks)


@compiled
def layer_changes(network: AbstractNetwork, initial: AbstractNetwork) -> Float[Array, "lanes L"]:
    """Return the RMS change of every weight matrix over its initial RMS.

    The change of a matrix that started at zero is infinite, or NaN if it is still zero.
    """

    def changes(network: AbstractNetwork, initial: AbstractNetwork) -> Float[Array, " L"]:
        def change(now: Array, before: Array) -> Array:
            axes = tuple(range(1, now.ndim))
            moved = jnp.mean(jnp.square(now - before), axis=axes)
            return jnp.sqrt(moved / jnp.mean(jnp.square(before), axis=axes))

        pairs = zip(network.weight_matrices(), initial.weight_matrices(), strict=True)
        return jnp.concatenate([change(now, before) for now, before in pairs])

    return jax.vmap(changes)(network, initial)


@partial(compiled, static_argnames="samples")
def shuffle(
    seeds: UInt[Array, " lanes"], epoch: Int[Array, ""] | int, samples: int
) -> Int[Array, "lanes n"]:
    """Return the order of the training set in an epoch; it depends on the seed only."""

    def order(seed: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed, impl=PRNG), 1), epoch)
        return jax.random.permutation(key, samples)

    return jax.vmap(order)(seeds)


@partial(compiled, static_argnames="config", donate_argnames="state")
def advance(
    config: TrainingConfig,
    state: LaneState,
    rates: Rates,
    seeds: UInt[Array, " lanes"],
    train: Samples,
    order: Int[Array, "lanes places"],
    first: Int[Array, ""] | int,
    start: Int[Array, ""] | int,
    stop: Int[Array, ""] | int,
) -> LaneState:
    """Take weight updates `start` to `stop` of every lane, while any of them is alive.

    Args:
        config: what the lanes share.
        state: their state; its memory is reused.
        rates: their learning rates.
        seeds: their seeds.
        train: samples that have the batches.
        order: places in `train` of the batches, one after the other.
        first: the update whose batch is the first in `order`.
        start: the first update.
        stop: the update after the last one.
    """

    def body(carry: tuple[Array, LaneState]) -> tuple[Array, LaneState]:
        step, state = carry
        at = (step - first) * config.batch_size
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
    seed: UInt[Array, ""],
    index: Int[Array, " B"],
) -> LaneState:
    """Take one weight update of one lane."""
    network, output = state.network, config.network.output_energy
    x, y = train.take(index, config.network.output_size)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed, impl=PRNG), 2), step)
    loss, gradients = _gradients(config, network, x, y, rates.activity, key)
    for penalty in config.penalties:
        gradients = jax.tree.map(jnp.add, gradients, jax.grad(penalty)(network))
    chosen, weight_lr = config.optimiser, rates.weight
    if chosen.schedule is not None:
        weight_lr = weight_lr * chosen.schedule.factor(step, config.steps)
    change, optimiser = chosen.update(
        chosen.clipped(gradients), state.optimiser, network, weight_lr
    )
    if config.divergence_factor is None:
        limit, bounded = state.limit, jnp.isfinite(loss)
    else:
        null = jnp.mean(output.per_sample(y, jnp.zeros_like(y)))
        highest = config.divergence_factor * jnp.maximum(loss, null)
        limit = jnp.where(step == 0, highest, state.limit)
        bounded = loss <= limit
    alive = state.alive & bounded
    return LaneState(
        network=jax.tree.map(jnp.subtract, network, change),
        optimiser=optimiser,
        losses=state.losses.at[step].set(jnp.where(alive, loss, jnp.nan)),
        limit=limit,
        alive=alive,
    )


def _gradients(
    config: TrainingConfig,
    network: AbstractNetwork,
    x: Array,
    y: Array,
    activity_lr: Array,
    key: Array,
) -> tuple[Array, AbstractNetwork]:
    """Return loss and weight gradients of a batch, in `config.batch_shards` shards."""
    shards = config.batch_shards
    if shards == 1:
        return config.rule.gradients(network, x, y, activity_lr, key)

    def shard(
        network: AbstractNetwork, x: Array, y: Array, activity_lr: Array, key: Array
    ) -> tuple[Array, AbstractNetwork]:
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
    """Return the devices over which a batch is split."""
    devices = jax.local_devices()
    if len(devices) < shards:
        raise ValueError(
            f"batch_shards {shards} needs as many devices, this process has {len(devices)} "
            f"({devices[0].platform}); jax_num_cpu_devices sets how many a CPU counts as"
        )
    return Mesh(np.array(devices[:shards]), ("batch",))


@partial(compiled, static_argnames="config")
def measure_spectrum(
    config: TrainingConfig,
    state: LaneState,
    spectrum: Spectrum,
    train: Samples,
    reset: Bool[Array, ""] | bool,
) -> Spectrum:
    """Measure lambda_max of every lane, and set beta from it if `reset`."""
    chosen = config.activity_lr
    assert chosen is not None
    B = config.batch_size
    index = jnp.arange(min(B, SPECTRUM_SAMPLES))
    x, y = train.take(index, config.network.output_size)

    def lane(network: AbstractNetwork) -> Array:
        relaxation = network.relaxation(x, y)
        if config.rule.inference is not None:
            relaxation = config.rule.inference.descended(relaxation)
        return lambda_max(relaxation, SPECTRUM_PRODUCTS)

    largest = jax.vmap(lane)(state.network)
    reached = jnp.fmax(spectrum.reached, spectrum.activity_lr * largest / B)
    return Spectrum(
        activity_lr=jnp.where(reset, chosen.scale * B / largest, spectrum.activity_lr),
        lambda_max=largest,
        reached=jnp.where(state.alive, reached, spectrum.reached),
    )


@partial(compiled, static_argnames="inferring")
def evaluate(
    network: AbstractNetwork,
    test: Samples,
    inferring: TrainingConfig | None = None,
    activity_lr: Float[Array, " lanes"] | None = None,
) -> tuple[Float[Array, " lanes"], Float[Array, " lanes"]]:
    """Return mean test loss and accuracy of every lane (accuracy NaN for regressions).

    Args:
        network: of every lane.
        test: the test set.
        inferring: the training, if its rule infers the inputs; None shares the program among rules.
        activity_lr: beta of every lane, for batches of `inferring.batch_size`.
    """
    n, classify = len(test.inputs), test.targets.ndim == 1

    def lane(network: AbstractNetwork, beta: Array | None) -> tuple[Array, Array]:
        config = network.config

        def predicted(x: Array, y: Array) -> Array:
            if inferring is None or beta is None:
                return network.predict(x)
            of_chunk = beta * (len(y) / inferring.batch_size)
            return inferring.rule.predict(network, x, y, of_chunk)

        def chunk(index: Array) -> tuple[Array, Array]:
            x, y = test.take(jnp.minimum(index, n - 1), config.output_size)
            prediction = predicted(x, y)
            correct = jnp.argmax(prediction, axis=-1) == jnp.argmax(y, axis=-1)
            loss = config.output_energy.per_sample(y, prediction)
            real = index < n
            return jnp.sum(jnp.where(real, loss, 0)), jnp.sum(jnp.where(real, correct, 0))

        size = min(n, TEST_CHUNK)
        losses, corrects = jax.lax.map(chunk, jnp.arange(-(-n // size) * size).reshape(-1, size))
        return jnp.sum(losses) / n, jnp.sum(corrects) / n if classify else jnp.array(jnp.nan)

    return jax.vmap(lane)(network, activity_lr)


@partial(compiled, static_argnames="config")
def probe(config: TrainingConfig, network: AbstractNetwork, rates: Rates, train: Samples) -> Probed:
    """Return the quantities of the probes for every lane, on the first batch as stored."""
    x, y = train.take(jnp.arange(config.batch_size), config.network.output_size)

    def lane(network: AbstractNetwork, activity_lr: Array) -> Probed:
        return tuple(probe.measure(network, x, y, activity_lr) for probe in config.probes)

    return jax.vmap(lane)(network, rates.activity)

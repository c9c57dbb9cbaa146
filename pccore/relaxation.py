"""Inference on one batch: the energy as a function of departures from a start."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Scalar = Float[Array, ""] | float
"""A traced or a Python number."""

Departure = TypeVar("Departure")
"""A departure of activities from the start: an array or a pytree of arrays, one per layer."""


Memory = TypeVar("Memory")
"""Values other than departures that a scheme carries from step to step."""

Advance = Callable[[tuple[Departure, ...], Memory], tuple[tuple[Departure, ...], Memory]]
"""One step of a scheme, on departures and memory."""


@runtime_checkable
class Relaxation(Protocol[Departure]):
    """The energy of one batch as a function of d = z - zbar, the departure from a start zbar.

    F is the batch mean. Gradients are per sample, B dF/dz, so that their size does not depend on B.
    Departures, unlike activities, resolve the tiny errors of a deep network's lower layers in
    float32 (`pccore.networks.local`).
    """

    @property
    def batch_size(self) -> int:
        """B."""
        ...

    def origin(self) -> Departure:
        """Return the departure of the start: zero."""
        ...

    def loss(self) -> Float[Array, ""]:
        """Return the loss of the prediction, the output energy of a forward pass."""
        ...

    def gradient(self, departure: Departure) -> Departure:
        """Return B dF/dz at zbar + departure."""
        ...

    def energies(self, departure: Departure) -> Float[Array, " L"]:
        """Return the energy of each layer, averaged over the batch; their sum is F."""
        ...

    def activities(self, departure: Departure) -> Departure:
        """Return z = zbar + departure."""
        ...

    def weight_gradients(self, departure: Departure) -> PyTree:
        """Return dF/dW at zbar + departure, with the structure of the network."""
        ...

    def descent(self, rate: Scalar, steps: int) -> Departure:
        """Take `steps` steps of d <- d - rate B dF/dz from the start.

        `gradient_steps` is the general implementation; an energy may have a faster one.
        """
        ...


@runtime_checkable
class SteppedRelaxation(Relaxation[Departure], Protocol[Departure]):
    """A relaxation on which a scheme takes steps of its own, sample by sample."""

    def iterate_from_start(
        self, advance: Advance[Departure, Memory], copies: int, memory: Memory, steps: int
    ) -> tuple[tuple[Departure, ...], Memory]:
        """Call `advance` `steps` times, first on `copies` departures of zero and on `memory`.

        `advance` must leave a departure at zero in layers that no error has reached, because an
        implementation may pass it the topmost layers only. `steps_from` is the general one.
        """
        ...

    def inner(self, a: Departure, b: Departure) -> Float[Array, " B"]:
        """Return the inner product of two departures for each sample."""
        ...

    def scaled(self, departure: Departure, factors: Float[Array, " B"]) -> Departure:
        """Return the departure with each sample multiplied by its factor."""
        ...


@runtime_checkable
class AugmentedRelaxation(SteppedRelaxation[Departure], Protocol[Departure]):
    """A relaxation whose layers' predictions can be constraints with multipliers lambda."""

    def errors_of(self, departure: Departure) -> Departure:
        """Return the residuals r_l = z_l - f_l(z_{l-1}), without precisions."""
        ...

    def dual_step(
        self, departure: Departure, multipliers: Departure
    ) -> tuple[Departure, Departure]:
        """Return lambda + r, and B dL/dz with these multipliers."""
        ...

    def weight_gradients(
        self, departure: Departure, multipliers: Departure | None = None
    ) -> PyTree:
        """Return dF/dW, or dL/dW with multipliers."""
        ...


def gradient_steps(
    relaxation: Relaxation[Departure],
    departure: Departure,
    rate: Scalar,
    steps: int,
) -> Departure:
    """Take `steps` steps of d <- d - rate B dF/dz, all activities at once."""

    def step(_: object, departure: Departure) -> Departure:
        return descend(departure, relaxation.gradient(departure), rate)

    return jax.lax.fori_loop(0, steps, step, departure)


def descend(departure: Departure, slopes: Departure, rate: Scalar) -> Departure:
    """Return d - rate * slopes, layer by layer."""
    return jax.tree.map(lambda d, g: d - rate * g, departure, slopes)


def steps_from(
    advance: Advance[Departure, Memory],
    departures: tuple[Departure, ...],
    memory: Memory,
    steps: int,
) -> tuple[tuple[Departure, ...], Memory]:
    """Call `advance` `steps` times on all layers."""

    def step(
        _: object, carry: tuple[tuple[Departure, ...], Memory]
    ) -> tuple[tuple[Departure, ...], Memory]:
        return advance(*carry)

    return jax.lax.fori_loop(0, steps, step, (departures, memory))


def inner_by_sample(a: PyTree[Array], b: PyTree[Array], axis: int) -> Float[Array, " B"]:
    """Return the inner product of two pytrees for each place along the batch axis."""

    def product(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=[i for i in range(a.ndim) if i != axis])

    return jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(product, a, b))), axis=0)


def scaled_by_sample(values: Departure, factors: Float[Array, " B"], axis: int) -> Departure:
    """Return a pytree with each place along the batch axis multiplied by its factor."""

    def scale(value: Array) -> Array:
        return value * jnp.expand_dims(factors, [i for i in range(value.ndim) if i != axis])

    return jax.tree.map(scale, values)

"""The energy of a batch for any sequence of layers, by automatic differentiation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.energies import layer_energies
from pccore.networks.layered import LayeredNetwork, Layers
from pccore.networks.linearisation import Linearisation, require_no_decay
from pccore.relaxation import (
    Advance,
    Memory,
    Scalar,
    gradient_steps,
    inner_by_sample,
    scaled_by_sample,
    steps_from,
)


class SequenceRelaxation(eqx.Module):
    """The `Relaxation` of any network, by automatic differentiation, with any units clamped.

    A departure is a tuple with one entry for each node that has free units. Entries of clamped
    units have no effect, and their gradient is zero. Errors are differences of activities and
    predictions: in float32 they carry rounding noise of 1e-7, which `StackedRelaxation` avoids.

    Attributes:
        network: `layers()`, `predict` and `config`.
        start: z_0 .. z_L at the beginning, including clamped values.
        free: boolean masks of the free units, one per node in `moving`; None if all are free.
        moving: the nodes that have free units.
    """

    network: LayeredNetwork
    start: tuple[Float[Array, "B *_"], ...]
    free: tuple[Array | None, ...]
    moving: tuple[int, ...] = eqx.field(static=True)

    @property
    def batch_size(self) -> int:
        return len(self.start[0])

    def origin(self) -> tuple[Array, ...]:
        return tuple(jnp.zeros_like(self.start[node]) for node in self.moving)

    def loss(self) -> Float[Array, ""]:
        prediction = self.network.predict(self.start[0])
        return jnp.mean(self.network.config.output_energy.per_sample(self.start[-1], prediction))

    def gradient(self, departure: tuple[Array, ...]) -> tuple[Array, ...]:
        def total(departure: tuple[Array, ...]) -> Array:
            return self.batch_size * jnp.sum(self.energies(departure))

        return jax.grad(total)(departure)

    def energies(self, departure: tuple[Array, ...]) -> Float[Array, " L"]:
        return energies_at(self.network, self.nodes(departure))

    def activities(self, departure: tuple[Array, ...]) -> tuple[Array, ...]:
        nodes = self.nodes(departure)
        return tuple(nodes[node] for node in self.moving)

    def nodes(self, departure: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return z_0 .. z_L at this departure, including nodes that do not move."""
        nodes = list(self.start)
        for node, d in zip(self.moving, departure, strict=True):
            nodes[node] = self._where_free(node, nodes[node] + d, nodes[node])
        return tuple(nodes)

    def weight_gradients(
        self, departure: tuple[Array, ...], multipliers: tuple[Array, ...] | None = None
    ) -> PyTree:
        """Return dF/dW, or dL/dW with multipliers."""
        nodes = self.nodes(departure)

        def total(network: LayeredNetwork) -> Array:
            energy = jnp.sum(energies_at(network, nodes))
            if multipliers is None:
                return energy
            there = replace(self, network=network)
            return energy + there._coupling(departure, multipliers) / self.batch_size

        return jax.grad(total)(self.network)

    @property
    def y(self) -> Float[Array, "B K"]:
        """The output, clamped or at its start."""
        return self.start[-1]

    def prediction(self, departure: tuple[Array, ...]) -> Float[Array, "B K"]:
        """Return f_L(z_H) at this departure."""
        below = list(self.nodes(departure)[:-1])
        return prediction_of(self.network, self.network.layers(), below)

    def linearised(self, departure: tuple[Array, ...] | None = None) -> "GeneralLinearisation":
        """Linearise the prediction in the errors at this departure; None is the start."""
        return GeneralLinearisation.at(self, departure)

    def descent(self, rate: Scalar, steps: int) -> tuple[Array, ...]:
        return gradient_steps(self, self.origin(), rate, steps)

    def iterate_from_start(
        self, advance: Advance[tuple[Array, ...], Memory], copies: int, memory: Memory, steps: int
    ) -> tuple[tuple[tuple[Array, ...], ...], Memory]:
        return steps_from(advance, (self.origin(),) * copies, memory, steps)

    def inner(self, a: tuple[Array, ...], b: tuple[Array, ...]) -> Float[Array, " B"]:
        return inner_by_sample(a, b, axis=0)

    def scaled(
        self, departure: tuple[Array, ...], factors: Float[Array, " B"]
    ) -> tuple[Array, ...]:
        return scaled_by_sample(departure, factors, axis=0)

    def dual_step(
        self, departure: tuple[Array, ...], multipliers: tuple[Array, ...]
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return lambda + r, and B dL/dz with these multipliers (`pccore.AugmentedLagrangian`)."""
        multipliers = jax.tree.map(jnp.add, multipliers, self.errors_of(departure))

        def total(departure: tuple[Array, ...]) -> Array:
            energy = self.batch_size * jnp.sum(self.energies(departure))
            return energy + self._coupling(departure, multipliers)

        return multipliers, jax.grad(total)(departure)

    def _coupling(
        self, departure: tuple[Array, ...], multipliers: tuple[Array, ...]
    ) -> Float[Array, ""]:
        """Return sum_i sum_l p_l <lambda_l, r_l>."""
        p = self.network.config.precisions
        weights = [p[node - 1] if p and node else 1.0 for node in self.moving]
        terms = zip(weights, multipliers, self.errors_of(departure), strict=True)
        return jnp.sum(jnp.stack([w * jnp.sum(m * r) for w, m, r in terms]))

    def departure_of(self, errors: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the departure of z_l = f_l(z_{l-1}) + e_l by one sweep upwards; e_0 moves z_0."""
        supply, layers = dict(zip(self.moving, errors, strict=True)), self.network.layers()
        nodes: list[Array] = []
        for node, z in enumerate(self.start):
            if node in supply:
                base = prediction_of(self.network, layers, nodes) if nodes else z
                z = self._where_free(node, base + supply[node], z)
            nodes.append(z)
        return tuple(nodes[node] - self.start[node] for node in self.moving)

    def errors_of(self, departure: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return e_l = z_l - f_l(z_{l-1}), zero where clamped: the inverse of `departure_of`."""
        nodes, layers = self.nodes(departure), self.network.layers()
        errors = []
        for node in self.moving:
            below = list(nodes[:node])
            base = prediction_of(self.network, layers, below) if below else self.start[0]
            error = nodes[node] - base
            errors.append(self._where_free(node, error, jnp.zeros_like(error)))
        return tuple(errors)

    def error_gradient(self, errors: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return B dF/de, with the errors as variables."""

        def total(errors: tuple[Array, ...]) -> Array:
            return self.batch_size * jnp.sum(self.energies(self.departure_of(errors)))

        return jax.grad(total)(errors)

    def _where_free(self, node: int, moved: Array, held: Array) -> Array:
        free = self.free[self.moving.index(node)]
        return moved if free is None else jnp.where(free, moved, held)


class GeneralLinearisation(Linearisation):
    """The linearisation of any sequence of layers, by automatic differentiation."""

    relaxation: SequenceRelaxation
    errors: tuple[Float[Array, "B *_"], ...]
    prediction: Float[Array, "B K"]
    answer: Float[Array, "B K"]
    batch_axis: ClassVar[int] = 0

    @classmethod
    def at(
        cls, relaxation: SequenceRelaxation, departure: tuple[Array, ...] | None
    ) -> "GeneralLinearisation":
        """Linearise at a departure; None is the start."""
        require_no_decay(relaxation)
        hidden = tuple(range(1, len(relaxation.start) - 1))
        if relaxation.moving != hidden or any(free is not None for free in relaxation.free):
            raise ValueError(
                "Gauss-Newton inference (equilibrium) needs the input and the output clamped and "
                f"all hidden units free, got free units in nodes {relaxation.moving} of 0 to "
                f"{len(hidden) + 1}"
            )
        d = relaxation.origin() if departure is None else departure
        errors = relaxation.errors_of(d)
        prediction = relaxation.prediction(d)
        still = cls(relaxation, errors, prediction, jnp.zeros_like(prediction))
        return cls(relaxation, errors, prediction, still.push(errors))

    def push(self, errors: tuple[Array, ...]) -> Float[Array, "B K"]:
        return jax.jvp(self._predict, (self.errors,), (errors,))[1]

    def pull(self, output: Float[Array, "B K"]) -> tuple[Array, ...]:
        return jax.vjp(self._predict, self.errors)[1](output)[0]

    def gram(self) -> Float[Array, "B K K"]:
        _, pull = jax.vjp(self._predict, self.errors)
        B, K = self.prediction.shape
        units = jnp.broadcast_to(jnp.eye(K, dtype=self.prediction.dtype)[:, None], (K, B, K))
        (J,) = jax.vmap(pull)(units)
        row = jax.vmap(self.inner, (None, 0), 1)
        return jax.vmap(row, (0, None), 1)(J, self.weighted(J, -1))

    def weighted(self, errors: tuple[Array, ...], power: int = 1) -> tuple[Array, ...]:
        p = self.relaxation.network.config.precisions or (1.0,) * len(errors)
        return tuple(p[place] ** power * e for place, e in enumerate(errors))

    def _predict(self, errors: tuple[Array, ...]) -> Float[Array, "B K"]:
        return self.relaxation.prediction(self.relaxation.departure_of(errors))


def prediction_of(network: LayeredNetwork, layers: Layers, below: list[Array]) -> Array:
    """Predict the node above `below`: f_l(z_{l-1}), plus z_{l-n} for skips outside of layers."""
    node, spans = len(below), network.config.spans
    prediction = layers[node - 1](below[-1])
    span = spans[node - 1] if spans else 0
    return prediction + below[node - span].reshape(prediction.shape) if span else prediction


def energies_at(network: LayeredNetwork, nodes: Sequence[Array]) -> Float[Array, " L"]:
    config = network.config
    return layer_energies(
        network.layers(),
        nodes[1:-1],
        nodes[0],
        nodes[-1],
        config.output_energy,
        precisions=config.precisions,
        activity_decay=config.activity_decay,
        spans=config.spans,
    )

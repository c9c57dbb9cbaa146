"""The first-order response of a network's output to errors in its layers.

With z_l = f_l(z_{l-1}) + e_l, the output's prediction is a function g of all hidden errors e, and

    g(e + s) = g(e) + J s + O(s^2),        J = dg/de                           (K x NH, per sample)

J is never stored: J s is one sweep upwards through the network, J^T w is one sweep downwards, and
J P^-1 J^T is summed layer by layer on a sweep downwards.
"""

from abc import abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from pccore.networks.layered import LayeredConfig, LayeredNetwork
from pccore.networks.local import StackEnergy


@runtime_checkable
class LinearisedEnergy(Protocol):
    """The energy of a batch with clamped output."""

    @property
    def network(self) -> LayeredNetwork: ...

    @property
    def y(self) -> Float[Array, "B K"]: ...


class Linearisation(eqx.Module):
    """g and J of a batch at its errors e, an array or a pytree of arrays, like a departure.

    Attributes:
        relaxation: the energy of the batch.
        errors: e.
        prediction: g(e).
        answer: J e.
    """

    relaxation: eqx.AbstractVar[LinearisedEnergy]
    errors: eqx.AbstractVar[PyTree]
    prediction: eqx.AbstractVar[Float[Array, "B K"]]
    answer: eqx.AbstractVar[Float[Array, "B K"]]
    batch_axis: eqx.AbstractClassVar[int]

    @abstractmethod
    def push(self, errors: PyTree) -> Float[Array, "B K"]:
        """Return J s: one sweep upwards."""

    @abstractmethod
    def pull(self, output: Float[Array, "B K"]) -> PyTree:
        """Return J^T w: one sweep downwards."""

    @abstractmethod
    def gram(self) -> Float[Array, "B K K"]:
        """Return J P^-1 J^T, with P the hidden precisions: K simultaneous sweeps downwards."""

    @abstractmethod
    def weighted(self, errors: PyTree, power: int = 1) -> PyTree:
        """Return P e, or P^-1 e with power -1."""

    def output_error(self) -> Float[Array, "B K"]:
        """Return r = -p_L dE/dg, minus the slope of the output energy."""
        return self._output_error(self.prediction)

    def output_curvature(self, change: Float[Array, "B K"]) -> Float[Array, "B K"]:
        """Return C v, C = p_L d2E/dg2: I for the mean-squared error, and never indefinite."""
        return -jax.jvp(self._output_error, (self.prediction,), (change,))[1]

    def energies_of(self, errors: PyTree, prediction: Float[Array, "B K"]) -> Float[Array, " B"]:
        """Return the energy of each sample."""
        output = self._config.output_energy.per_sample(self.relaxation.y, prediction)
        own = self.inner(errors, self.weighted(errors))
        return 0.5 * own + self._output_precision * output

    def inner(self, one: PyTree, other: PyTree) -> Float[Array, " B"]:
        """Return the inner product of the errors of each sample."""

        def of_node(a: Array, b: Array) -> Array:
            axes = (axis for axis in range(a.ndim) if axis != self.batch_axis)
            return jnp.sum(a * b, axis=tuple(axes))

        nodes = jax.tree.leaves(jax.tree.map(of_node, one, other))
        return jnp.sum(jnp.stack(nodes), axis=0)

    def moved(self, errors: PyTree, by: Float[Array, " B"], step: PyTree) -> PyTree:
        """Return e + t s, with one t per sample."""
        return jax.tree.map(lambda e, s: e + self._spread(by, e) * s, errors, step)

    def chosen(self, samples: Bool[Array, " B"], one: PyTree, other: PyTree) -> PyTree:
        """Return `one` for the given samples and `other` for the rest."""
        return jax.tree.map(lambda a, b: jnp.where(self._spread(samples, a), a, b), one, other)

    def _spread(self, of_sample: Array, node: Array) -> Array:
        """Reshape one value per sample to broadcast with a node."""
        axes = (axis for axis in range(node.ndim) if axis != self.batch_axis)
        return jnp.expand_dims(of_sample, tuple(axes))

    def _output_error(self, prediction: Float[Array, "B K"]) -> Float[Array, "B K"]:
        return self._output_precision * self._config.output_energy.error(
            self.relaxation.y, prediction
        )

    @property
    def _config(self) -> LayeredConfig:
        return self.relaxation.network.config

    @property
    def _output_precision(self) -> float:
        return self._config.precisions[-1] if self._config.precisions else 1.0


class StackedLinearisation(Linearisation):
    """The linearisation of a stacked network, in closed form. From the last hidden layer down,

        J_H = a_L W_L diag(phi'(z_H)),
        J_l = a_{l+1} J_{l+1} W_{l+1} diag(phi'(z_l)) + tau J_{l+n}

    Attributes:
        slope: phi'(z_1) .. phi'(z_H).
    """

    relaxation: StackEnergy
    errors: Float[Array, "H B N"]
    prediction: Float[Array, "B K"]
    answer: Float[Array, "B K"]
    slope: Float[Array, "H B N"]
    batch_axis: ClassVar[int] = 1

    @classmethod
    def at(cls, relaxation: StackEnergy, departure: Array | None) -> "StackedLinearisation":
        """Linearise at a departure; None is the forward pass, whose errors are zero."""
        require_no_decay(relaxation)
        d = relaxation.origin() if departure is None else departure
        _, slope = relaxation.network.config.phi.respond(relaxation.start, d)
        prediction = relaxation.prediction(d)
        still = cls(relaxation, relaxation.origin(), prediction, jnp.zeros_like(prediction), slope)
        if departure is None:
            return still
        errors = relaxation.errors_of(departure)
        return cls(relaxation, errors, prediction, still.push(errors), slope)

    def push(self, errors: Float[Array, "H B N"]) -> Float[Array, "B K"]:
        network = self.relaxation.network
        top = self.relaxation.sweep(errors, self.slope, jnp.multiply)[-1]
        last = network.config.maps.last.apply(network.last, self.slope[-1] * top)
        return network.config.scalings.last * last

    def pull(self, output: Float[Array, "B K"]) -> Float[Array, "H B N"]:
        return jax.linear_transpose(self.push, self.errors)(output)[0]

    def gram(self) -> Float[Array, "B K K"]:
        network, config = self.relaxation.network, self.relaxation.network.config
        p = self.relaxation.hidden_precisions(self.slope.dtype)

        def product(J: Array, p: Array) -> Array:
            return jnp.einsum("bkn,bjn->bkj", J, J) / p

        def down(
            carry: tuple[Array, Array], layer: tuple[Array, Array, Array]
        ) -> tuple[tuple[Array, Array], None]:
            above, total = carry
            W, slope, p = layer
            passed_on = config.maps.hidden.transpose(W, above[0])
            J = slope[:, None] * (config.scalings.hidden * passed_on)
            if config.residual:
                J = J + above[-1]
            return (jnp.concatenate([J[None], above[:-1]]), total + product(J, p)), None

        # samples before outputs: then all K B rows take one product with a layer's weights
        rows = config.maps.last.transpose(
            network.last, jnp.eye(config.output_size, dtype=self.slope.dtype)
        )
        last = self.slope[-1][:, None] * (config.scalings.last * rows)
        above = jnp.pad(last[None], ((0, config.stride - 1), (0, 0), (0, 0), (0, 0)))
        layers = network.hidden, self.slope[:-1], p[:-1]
        (_, total), _ = jax.lax.scan(down, (above, product(last, p[-1])), layers, reverse=True)
        return total

    def weighted(self, errors: Float[Array, "H B N"], power: int = 1) -> Float[Array, "H B N"]:
        if not self.relaxation.network.config.precisions:
            return errors
        return self.relaxation.hidden_precisions(errors.dtype) ** power * errors


def require_no_decay(relaxation: LinearisedEnergy) -> None:
    if decay := relaxation.network.config.activity_decay:
        raise ValueError(
            f"Gauss-Newton inference (equilibrium) needs activity_decay 0, got {decay:g}"
        )

"""Closed-form local gradients of a stacked network's energy: all layers in a few products.

The activities are z_l = zbar_l + d_l, a forward pass, whose hidden errors are exactly zero, plus a
departure. Then, per sample, with tau, a_l as in thesis eq. 5.1, p_l the precisions, alpha the
activity decay, and skips over n layers (n = 1 in the documents' experiments),

    e_l         =  p_l (d_l - tau d_{l-n} - a_l W_l [phi(zbar_{l-1} + d_{l-1}) - phi(zbar_{l-1})])
    B dF/dz_l   =  e_l - tau e_{l+n} - phi'(z_l) * a_{l+1} W_{l+1}^T e_{l+1} + alpha z_l
    B dF/dW_l   = -a_l sum_i e_l phi(z_{l-1})^T            B dF/db_l = -sum_i e_l

with d_l = 0 for l < 1 and e_L the output error. Differences of activities and predictions would
have rounding noise of 1e-7 where a deep network's errors are far smaller, and Adam would scale it
up. Tested against automatic differentiation of `pccore.energy`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Generic

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.networks.stack import Biases, StackT
from pccore.relaxation import inner_by_sample, scaled_by_sample


class StackEnergy(eqx.Module, Generic[StackT]):
    """The energy of a batch of a stack whose input and output are clamped, and its gradients.

    A departure may be restricted to the topmost m hidden layers, those that can have moved.

    Attributes:
        network: the weights.
        start: zbar_1 .. zbar_H, activities of a forward pass.
        x: the clamped input.
        y: the clamped output.
    """

    network: StackT
    start: Float[Array, "H B N"]
    x: Float[Array, "B D"]
    y: Float[Array, "B K"]

    @property
    def batch_size(self) -> int:
        return len(self.x)

    def origin(self) -> Float[Array, "H B N"]:
        return jnp.zeros_like(self.start)

    def loss(self) -> Float[Array, ""]:
        prediction = self.network.readout(self.start[-1])
        return jnp.mean(self.network.config.output_energy.per_sample(self.y, prediction))

    def gradient(self, departure: Float[Array, "m B N"]) -> Float[Array, "m B N"]:
        change, slope = self.network.config.phi.respond(self._top(departure), departure)
        return self._slopes(departure, self._errors(departure, change), slope)

    def dual_step(
        self, departure: Float[Array, "m B N"], multipliers: Float[Array, "m B N"]
    ) -> tuple[Float[Array, "m B N"], Float[Array, "m B N"]]:
        """Return lambda + r, and B dL/dz with these multipliers (`pccore.AugmentedLagrangian`)."""
        change, slope = self.network.config.phi.respond(self._top(departure), departure)
        residuals = self._residuals(departure, change)
        # in this order, so that XLA keeps no array of residuals and updates lambda in place
        errors = multipliers + 2 * residuals
        multipliers = 0.5 * (multipliers + errors)
        return multipliers, self._slopes(departure, self._weighted(errors), slope)

    def _slopes(
        self,
        departure: Float[Array, "m B N"],
        e: Float[Array, "m B N"],
        slope: Float[Array, "m B N"],
    ) -> Float[Array, "m B N"]:
        """Return B dF/dz from the errors and phi'(z)."""
        config, network = self.network.config, self.network
        a, W = config.scalings, network.hidden[config.depth - len(departure) :]
        from_hidden = a.hidden * config.maps.hidden.transpose(W, e[1:])
        from_output = self.output_feedback(departure)
        feedback = slope * jnp.concatenate([from_hidden, from_output[None]])
        if config.residual:
            feedback = feedback + _shifted(e, -config.skip)
        if config.activity_decay:
            feedback = feedback - config.activity_decay * (self._top(departure) + departure)
        return e - feedback

    def energies(self, departure: Float[Array, "m B N"]) -> Float[Array, " L"]:
        config = self.network.config
        departure = _below(departure, config.depth)
        change, _ = config.phi.respond(self.start, departure)
        e, z = self._errors(departure, change), self.activities(departure)
        hidden = 0.5 * jnp.mean(jnp.sum(e**2, axis=-1), axis=-1)
        if config.precisions:
            hidden = hidden / jnp.array(config.precisions[:-1], hidden.dtype)
        if config.activity_decay:
            decay = 0.5 * config.activity_decay
            hidden = hidden + decay * jnp.mean(jnp.sum(z**2, axis=-1), axis=-1)
        output = config.output_energy.per_sample(self.y, self.network.readout(z[-1]))
        return jnp.append(hidden, config.output_precision * jnp.mean(output))

    def activities(self, departure: Float[Array, "m B N"]) -> Float[Array, "H B N"]:
        untouched = self.start[: len(self.start) - len(departure)]
        return jnp.concatenate([untouched, self._top(departure) + departure])

    def weight_gradients(
        self,
        departure: Float[Array, "m B N"],
        multipliers: Float[Array, "m B N"] | None = None,
    ) -> StackT:
        """Return dF/dW, or dL/dW with multipliers; exactly zero below the topmost m layers."""
        config, network = self.network.config, self.network
        a, phi, B = config.scalings, config.phi.phi, self.batch_size
        change, _ = config.phi.respond(self._top(departure), departure)
        e, z = self._errors(departure, change), self.activities(departure)
        if multipliers is not None:
            e = e + self._weighted(multipliers)
        untouched = config.depth - len(e)
        above_first = e if untouched else e[1:]
        below = phi(z[config.depth - 1 - len(above_first) : -1])
        maps, e_last = config.maps, self._output_error(z[-1])
        hidden = maps.hidden.outer(above_first, below) * (-a.hidden / B)
        first = network.first if untouched else maps.first.outer(e[0], self.x)
        return replace(
            network,
            first=jnp.zeros_like(first) if untouched else first * (-a.first / B),
            hidden=_below(hidden, len(network.hidden)),
            last=maps.last.outer(e_last, phi(z[-1])) * (-a.last / B),
            biases=self._bias_gradients(e, e_last),
        )

    def output_feedback(self, departure: Float[Array, "m B N"]) -> Float[Array, "B N"]:
        """Return a_L W_L^T e_L, the feedback of the output error to the last hidden layer."""
        return self._fed_back(self._output_error(self.start[-1] + departure[-1]))

    def _fed_back(self, error: Float[Array, "B K"]) -> Float[Array, "B N"]:
        config = self.network.config
        return config.scalings.last * config.maps.last.transpose(self.network.last, error)

    def prediction(self, departure: Float[Array, "m B N"]) -> Float[Array, "B K"]:
        """Return f_L(z_H) at this departure."""
        return self.network.readout(self.start[-1] + departure[-1])

    def inner(self, a: Float[Array, "m B N"], b: Float[Array, "m B N"]) -> Float[Array, " B"]:
        return inner_by_sample(a, b, axis=1)

    def scaled(
        self, departure: Float[Array, "m B N"], factors: Float[Array, " B"]
    ) -> Float[Array, "m B N"]:
        return scaled_by_sample(departure, factors, axis=1)

    def departure_of(self, errors: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return the departure of z_l = f_l(z_{l-1}) + e_l, by one sweep upwards."""
        respond = self.network.config.phi.respond
        return self.sweep(errors, self.start, lambda z, d: respond(z, d).change)

    def errors_of(self, departure: Float[Array, "m B N"]) -> Float[Array, "H B N"]:
        """Return z_l - f_l(z_{l-1}), without precisions: the inverse of `departure_of`."""
        departure = _below(departure, len(self.start))
        change, _ = self.network.config.phi.respond(self.start, departure)
        return self._errors(departure, change) / self.hidden_precisions(departure.dtype)

    def error_gradient(self, errors: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return B dF/de, with errors as variables: one sweep upwards and one downwards."""
        config = self.network.config
        departure = self.departure_of(errors)
        z = self.start + departure
        _, slope = config.phi.respond(self.start, departure)
        from_output = self._fed_back(self._output_error(z[-1]))
        from_above = jnp.zeros_like(z).at[-1].set(-slope[-1] * from_output)
        if config.activity_decay:
            from_above = from_above + config.activity_decay * z
        # not the derivative of `departure_of`: at a kink, the derivative of a change is not phi'
        _, downwards = jax.vjp(lambda e: self.sweep(e, slope, jnp.multiply), errors)
        return self.hidden_precisions(errors.dtype) * errors + downwards(from_above)[0]

    def _top(self, departure: Float[Array, "m B N"]) -> Float[Array, "m B N"]:
        """Return zbar of the layers in `departure`."""
        return self.start[len(self.start) - len(departure) :]

    def _errors(
        self, departure: Float[Array, "m B N"], change: Float[Array, "m B N"]
    ) -> Float[Array, "m B N"]:
        """Return e_l; the layers below those in `departure` have not moved."""
        return self._weighted(self._residuals(departure, change))

    def _residuals(
        self, departure: Float[Array, "m B N"], change: Float[Array, "m B N"]
    ) -> Float[Array, "m B N"]:
        """Return z_l - f_l(z_{l-1}); the layers below those in `departure` have not moved."""
        config = self.network.config
        W = self.network.hidden[config.depth - len(departure) :]
        passed_on = config.scalings.hidden * config.maps.hidden.apply(W, change[:-1])
        e = jnp.concatenate([departure[:1], departure[1:] - passed_on])
        if config.residual:
            e = e - _shifted(departure, config.skip)
        return e

    def _weighted(self, errors: Float[Array, "m B N"]) -> Float[Array, "m B N"]:
        """Multiply errors of the topmost layers by their precisions."""
        config = self.network.config
        if not config.precisions:
            return errors
        p = jnp.array(config.precisions[-1 - len(errors) : -1], errors.dtype)
        return p[:, None, None] * errors

    def _output_error(self, z: Float[Array, "B N"]) -> Float[Array, "B K"]:
        config = self.network.config
        error = config.output_energy.error(self.y, self.network.readout(z))
        return config.output_precision * error if config.precisions else error

    def _bias_gradients(self, e: Array, e_last: Array) -> Biases | None:
        biases = self.network.biases
        if biases is None:
            return None
        config = self.network.config
        by_place = jnp.mean(e, axis=1).reshape(len(e), -1, config.width)
        hidden = _below(-jnp.sum(by_place, axis=1), config.depth)
        return replace(biases, hidden=hidden, last=-jnp.mean(e_last, axis=0))

    def sweep(
        self,
        errors: Float[Array, "H B N"],
        at: Float[Array, "H _ N"],  # linear networks may have another batch size here
        respond: Callable[[Array, Array], Array],
    ) -> Float[Array, "H B N"]:
        """Return d_l = e_l + tau d_{l-n} + a_l W_l respond(at_{l-1}, d_{l-1}), bottom-up."""
        config = self.network.config

        def step(below: Array, layer: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            e, W, at = layer
            d = e + config.scalings.hidden * config.maps.hidden.apply(W, respond(at, below[-1]))
            if config.residual:
                d = d + below[0]
            return jnp.concatenate([below[1:], d[None]]), d

        below = jnp.pad(errors[:1], ((config.skip - 1, 0), (0, 0), (0, 0)))
        _, rest = jax.lax.scan(step, below, (errors[1:], self.network.hidden, at[:-1]))
        return jnp.concatenate([errors[:1], rest])

    def hidden_precisions(self, dtype: jnp.dtype) -> Float[Array, "H 1 1"]:
        config = self.network.config
        return jnp.array(config.precisions[:-1] or (1.0,) * config.depth, dtype)[:, None, None]


def _below(values: Float[Array, "m *rest"], depth: int) -> Float[Array, "depth *rest"]:
    """Pad values of the topmost layers with zeros for the layers below them."""
    blank = jnp.zeros((depth - len(values), *values.shape[1:]), values.dtype)
    return jnp.concatenate([blank, values])


def _shifted(values: Float[Array, "m *rest"], by: int) -> Float[Array, "m *rest"]:
    """Move each layer's value up by `by` layers (down if negative) and fill in zeros."""
    edge = jnp.zeros_like(values[: abs(by)])
    if by > 0:
        return jnp.concatenate([edge, values[:-by]])
    return jnp.concatenate([values[-by:], edge])

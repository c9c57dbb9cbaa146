"""Line search along a Gauss-Newton step, for all samples at once."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from pccore.inference.gauss_newton_step import Step
from pccore.networks.linearisation import Linearisation

MOST_TRIALS = 6
CLOSE = 0.1
"""Relative distance from the parabola's minimum at which a trial is accepted: its energy is above
the minimum by at most 1% of the energy's fall."""


@runtime_checkable
class LinearisableRelaxation(Protocol):
    """A relaxation whose network can be swept, and linearised as a function of its errors."""

    def linearised(self, departure: PyTree[Array] | None = None) -> Linearisation:
        """Return the linearisation at a departure; None is the start."""
        ...

    def origin(self) -> PyTree[Array]:
        """Return the departure of the start itself: zero."""
        ...

    def departure_of(self, errors: PyTree[Array]) -> PyTree[Array]:
        """Return the departure of the activities with these errors."""
        ...

    def prediction(self, departure: PyTree[Array]) -> Float[Array, "B K"]:
        """Return f_L(z_H) at this departure."""
        ...


class Search(NamedTuple):
    """The state of a search.

    Attributes:
        t: next trial of each sample.
        settled: whether the search of a sample has ended.
        lowest: lowest energy found so far.
        departure: departure with that energy.
    """

    t: Float[Array, " B"]
    settled: Bool[Array, " B"]
    lowest: Float[Array, " B"]
    departure: PyTree[Array]


def search(
    relaxation: LinearisableRelaxation, at: Linearisation, step: Step, begin: PyTree[Array]
) -> PyTree[Array]:
    """Return the departure at e + t s with the lowest energy among a few t, including t = 0.

    The first trial is t = 1. The next one is the minimum of the parabola through the energy and
    slope at t = 0 and the last energy, limited to t / 10 to 1; a sample's search ends when this
    minimum is close to its last trial. Every trial is one upward sweep of the batch, until no
    sample needs another one. Quadratic energies, as in linear networks, need one.

    Args:
        relaxation: the energy of the batch.
        at: the linearisation at e.
        step: s and the slope along it.
        begin: the departure at t = 0.
    """
    before = at.energies_of(at.errors, at.prediction)

    def unfinished(carry: tuple[Array, Search]) -> Bool[Array, ""]:
        trials, now = carry
        return (trials < MOST_TRIALS) & ~jnp.all(now.settled)

    def trial(carry: tuple[Array, Search]) -> tuple[Array, Search]:
        trials, now = carry
        errors = at.moved(at.errors, now.t, step.errors)
        departure = relaxation.departure_of(errors)
        energy = at.energies_of(errors, relaxation.prediction(departure))
        better = energy <= now.lowest
        kept = at.chosen(better, departure, now.departure)
        wanted = _minimum(before, step.slope, now.t, energy)
        settled = now.settled | (jnp.abs(wanted - now.t) <= CLOSE * now.t)
        lowest = jnp.where(better, energy, now.lowest)
        return trials + 1, Search(jnp.where(settled, now.t, wanted), settled, lowest, kept)

    first = Search(jnp.ones_like(before), jnp.zeros_like(before, bool), before, begin)
    return jax.lax.while_loop(unfinished, trial, (jnp.array(0), first))[1].departure


def _minimum(
    before: Float[Array, " B"],
    slope: Float[Array, " B"],
    t: Float[Array, " B"],
    energy: Float[Array, " B"],
) -> Float[Array, " B"]:
    """Return the minimum, within t / 10 to 1, of the parabola with this value and slope at 0 and
    this energy at t."""
    bend = (energy - before - slope * t) / t**2
    minimum = jnp.where(bend > 0, -slope / (2 * bend), 1)
    # an energy that overflowed gives NaN, which fails this comparison and shortens the step
    return jnp.where(minimum > t / 10, jnp.minimum(minimum, 1), t / 10)

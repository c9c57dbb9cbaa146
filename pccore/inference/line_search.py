"""How far to go along a Gauss-Newton step: a line search for each sample, all at once."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pccore.inference.gauss_newton_step import Step
from pccore.networks.linearisation import Linearisation

MOST_TRIALS = 6
CLOSE = 0.1
"""A trial within this share of the parabola's minimum is good enough: it is at most 1% of the
energy's fall above it."""


@runtime_checkable
class LinearisableRelaxation(Protocol):
    """A relaxation whose network can be swept, and linearised as a function of its errors."""

    def linearised(self, departure: Any = None) -> Linearisation:
        """At a departure; None is the start."""
        ...

    def origin(self) -> Any:
        """The departure of the start itself: zero."""
        ...

    def departure_of(self, errors: Any) -> Any:
        """The departure of the activities that have these errors."""
        ...

    def prediction(self, departure: Any) -> Float[Array, "B K"]:
        """f_L(z_H) at this departure."""
        ...


class Search(NamedTuple):
    """Where a search is.

    Attributes:
        t: what each sample tries next.
        settled: whether it has been tried already.
        lowest: the lowest energy found so far.
        departure: where that is.
    """

    t: Float[Array, " B"]
    settled: Bool[Array, " B"]
    lowest: Float[Array, " B"]
    departure: Any


def search(relaxation: LinearisableRelaxation, at: Linearisation, step: Step, begin: Any) -> Any:
    """The departure at e + t s with the lowest energy of a few t, which `begin`, t = 0, is one of.

    The first is t = 1. The next is the minimum of the parabola with the energy and the slope at
    t = 0 and the energy just found, between t / 10 and 1, until that is where the trial was. Every
    trial is one sweep upwards, and trials end when no sample needs another one. Where the
    energy is quadratic, as in linear networks, there is one.
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
    """Of the parabola with this value and slope at 0 and this energy at t, from t / 10 to 1."""
    bend = (energy - before - slope * t) / t**2
    minimum = jnp.where(bend > 0, -slope / (2 * bend), 1)
    # an energy that overflowed gives NaN, which this comparison takes for too far
    return jnp.where(minimum > t / 10, jnp.minimum(minimum, 1), t / 10)

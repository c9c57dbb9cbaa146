"""The loop of step-by-step schemes, with a record of every step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree


class Iterate(NamedTuple):
    """The state of a scheme.

    Attributes:
        departure: departure of the activities.
        memory: other values that the scheme carries from step to step.
        done: whether inference ends here.
    """

    departure: PyTree[Array]
    memory: PyTree = None
    done: Bool[Array, ""] | bool = False


def iterate(
    advance: Callable[[Iterate], Iterate],
    first: Iterate,
    steps: int,
    observe: Callable[[PyTree[Array]], PyTree[Array]] | None = None,
) -> tuple[Iterate, Int[Array, ""], PyTree[Array]]:
    """Advance until done, at most `steps` times.

    Returns:
        The last iterate, the number of steps taken, and the stacked results of `observe` at every
        departure: steps + 1 entries, NaN after the last step; None without `observe`.
    """

    def unfinished(carry: tuple[Array, Iterate, PyTree[Array]]) -> Array:
        taken, now, _ = carry
        return (taken < steps) & ~jnp.asarray(now.done)

    def body(
        carry: tuple[Array, Iterate, PyTree[Array]],
    ) -> tuple[Array, Iterate, PyTree[Array]]:
        taken, now, records = carry
        now = advance(now)
        if observe is not None:
            seen = observe(now.departure)
            records = jax.tree.map(lambda r, s: r.at[taken + 1].set(s), records, seen)
        return taken + 1, now, records

    records = None
    if observe is not None:
        blank = jax.tree.map(
            lambda s: jnp.full((steps + 1, *s.shape), jnp.nan, s.dtype), observe(first.departure)
        )
        records = jax.tree.map(lambda r, s: r.at[0].set(s), blank, observe(first.departure))
    first = first._replace(done=jnp.asarray(first.done))
    taken, last, records = jax.lax.while_loop(unfinished, body, (jnp.array(0), first, records))
    return last, taken, records

"""The Gauss-Newton step of a batch in error coordinates, sample by sample.

At errors e, a quadratic replaces the energy of a sample, 1/2 e^T P e + p_L E(y, g(e)). It has the
same value and slope, and the curvature P + J^T C J, where J = dg/de and C = p_L d2E/dg2 is positive
semidefinite. Its minimum e + s solves the linear system

    (P + J^T C J) (e + s) = J^T (r + C J e),        r = -p_L dE/dg

For the mean-squared error and a linear network the quadratic is the energy itself.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from pccore.linalg import lapack
from pccore.networks.linearisation import Linearisation


class Step(NamedTuple):
    """The step to the minimum of the quadratic.

    Attributes:
        errors: s.
        slope: slope of each sample's energy along s, at e.
    """

    errors: PyTree[Array]
    slope: Float[Array, " B"]


def direct_step(at: Linearisation) -> Step:
    """Compute s from a K x K system for each sample: e + s = P^-1 J^T w with

        (I + C S) w = r + C J e,        S = J P^-1 J^T

    I + S is the thesis's rescaling of the loss (eq. 4.5). The cost is K + 1 sweeps. No matrix of
    the size of the errors is factorised.
    """
    S = at.gram()
    identity = jnp.eye(S.shape[-1], dtype=S.dtype)

    def column(unit: Float[Array, " K"]) -> Float[Array, "B K"]:
        return at.output_curvature(jnp.broadcast_to(unit, at.prediction.shape))

    C = jax.vmap(column, out_axes=-1)(identity)
    r = at.output_error()
    right = r + at.output_curvature(at.answer)
    # regularise by the rounding of S, so that no direction looks free to move in
    known = 1 + jnp.finfo(S.dtype).eps * jnp.trace(S, axis1=-2, axis2=-1)[:, None, None]
    w = lapack.solve_small(known * identity + C @ S, right)
    s = jax.tree.map(jnp.subtract, at.weighted(at.pull(w), -1), at.errors)
    pushed = jnp.einsum("bkj,bj->bk", S, w) - at.answer
    return Step(s, at.inner(at.weighted(at.errors), s) - jnp.sum(r * pushed, axis=-1))


class Progress(NamedTuple):
    """The state of conjugate gradients.

    Attributes:
        s: the solution so far.
        residual: right-hand side minus the matrix times s.
        direction: direction of the next step.
        size: residual^T P^-1 residual of each sample.
    """

    s: PyTree[Array]
    residual: PyTree[Array]
    direction: PyTree[Array]
    size: Float[Array, " B"]


def conjugate_step(at: Linearisation, steps: int) -> Step:
    """Compute s by conjugate gradients preconditioned by P, for all samples at once.

    A step takes two sweeps. P^-1 J^T C J has rank K at most, so K + 1 steps are exact up to
    rounding. A sample is done when its residual is a hundred times the rounding of its first one.
    Stopped early, s still points downhill.

    Args:
        at: the linearisation.
        steps: maximum number of steps.
    """
    pulled = at.pull(at.output_error())
    downhill = jax.tree.map(jnp.subtract, pulled, at.weighted(at.errors))
    direction = at.weighted(downhill, -1)
    zero = jax.tree.map(jnp.zeros_like, at.errors)
    first = Progress(zero, downhill, direction, at.inner(downhill, direction))
    enough = (100 * jnp.finfo(first.size.dtype).eps) ** 2 * first.size

    def unfinished(carry: tuple[Array, Progress]) -> Bool[Array, ""]:
        taken, now = carry
        return (taken < steps) & jnp.any(now.size > enough)

    def advance(carry: tuple[Array, Progress]) -> tuple[Array, Progress]:
        taken, now = carry
        curved = at.pull(at.output_curvature(at.push(now.direction)))
        curved = jax.tree.map(jnp.add, at.weighted(now.direction), curved)
        going = now.size > enough
        rate = jnp.where(going, now.size / at.inner(now.direction, curved), 0)
        s = at.moved(now.s, rate, now.direction)
        residual = at.moved(now.residual, -rate, curved)
        weighted = at.weighted(residual, -1)
        size = at.inner(residual, weighted)
        again = jnp.where(going, size / now.size, 0)
        return taken + 1, Progress(s, residual, at.moved(weighted, again, now.direction), size)

    _, last = jax.lax.while_loop(unfinished, advance, (jnp.array(0), first))
    return Step(last.s, -at.inner(downhill, last.s))

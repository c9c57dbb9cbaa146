"""Matrix completion by a deep linear network, as a loss and as an energy (thesis fig. 4.6, B.4).

The network's map W_L .. W_1 fits the observed entries of a target M of n x m. In terms of samples,
input i is the i-th unit vector and its output is column i of M, of which some entries are free.
With O_i the observed entries, r = M - W_L .. W_1,

    loss = (1/2m) sum_i ||r_i[O_i]||^2
    F*   = (1/2m) sum_i r_i[O_i]^T S[O_i, O_i]^-1 r_i[O_i]

Inference sets free outputs to their predictions, so that their errors are zero and the rescaling of
eq. 4.5 is that of the observed entries.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.theory.landscape import Matrices, rescaling_of


def network_map(matrices: Matrices) -> Float[Array, "n m"]:
    """Return W_L .. W_1."""
    first, *rest = matrices
    for W in rest:
        first = W @ first
    return first


def completion_loss(
    matrices: Matrices, target: Float[Array, "n m"], observed: Float[Array, "n m"]
) -> Float[Array, ""]:
    """Return the loss.

    Args:
        matrices: W_1 .. W_L.
        target: M.
        observed: 1 for observed entries of M, 0 for free ones.
    """
    r = observed * (target - network_map(matrices))
    return 0.5 * jnp.sum(r**2) / target.shape[1]


def completion_energy(
    matrices: Matrices, target: Float[Array, "n m"], observed: Float[Array, "n m"]
) -> Float[Array, ""]:
    """Return F*; arguments as in `completion_loss`."""
    S = rescaling_of(matrices)

    def sample(r: Float[Array, " n"], o: Float[Array, " n"]) -> Float[Array, ""]:
        # free entries have rows and columns of the identity, and a zero r
        own = jnp.outer(o, o) * S + jnp.diag(1 - o)
        return 0.5 * r @ jnp.linalg.solve(own, r)

    r = observed * (target - network_map(matrices))
    return jnp.mean(jax.vmap(sample)(r.T, observed.T))

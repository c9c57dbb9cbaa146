"""Inference as a trust-region step: an expansion for any network (thesis 3.5, A.3).

Around a forward pass zhat, with r = y - f(x) (minus the slope of the output energy in general) and
I the Fisher information of the activities under the model, sample by sample,

    F(zhat + d) = loss + g^T d + 1/2 d^T I d + ..,    d* = -I^-1 g        (eqs. 3.4, 3.5)

I is block tridiagonal. In the layers' errors the same step has K unknowns: with J the response of
the output to errors, C the curvature of the output energy and P the precisions,

    e = P^-1 J^T w,   w = (I + C J P^-1 J^T)^-1 r,   F* = loss - 1/2 r^T J e

which for squared errors is w = S^-1 r and F* = 1/2 r^T S^-1 r. The equilibrated energy of linear
networks (eq. 4.5) is this expansion, exact for them and of second order in general. d* has an error
O(|r|^2), and F* an error O(|r|^3). Using the Hessian in place of I changes them by no more than
that.

The weights' gradient at the equilibrium is that of backpropagation with w in place of r,

    dF/dtheta = -(df/dtheta)^T w = (df/dtheta)^T (-r)  +  (df/dtheta)^T (r - w)  + O(|r|^2)
                                    backpropagation        trust region

In activities the last term is (dzhat/dtheta)^T C_z d*, C_z = d2 loss/dzhat2 of the last hidden
layer, for the weights below the last. Eq. 3.6 of the thesis has -d* instead of C_z d*, because its
A.17 takes -I for the derivative of g. In the one-unit network eq. 3.6 gives w_1 the slope of the
loss times 1 + 1/(1 + w_2^2), while the slope of the equilibrated energy is that of the loss divided
by 1 + w_2^2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.inference.gauss_newton_step import direct_step
from pccore.inference.line_search import LinearisableRelaxation
from pccore.linalg.blocktridiagonal import BlockTridiagonal
from pccore.networks.base import AbstractNetwork
from pccore.networks.sequence import SequenceNetwork
from pccore.networks.stacked import Network


class Expansion(NamedTuple):
    """The equilibrium of inference to second order around the forward pass.

    Attributes:
        departure: d*, for `relaxation.activities`, `.weight_gradients` and so on.
        output_error: w, the remaining error of the output.
        energy: F*, averaged over the batch.
    """

    departure: PyTree[Array]
    output_error: Float[Array, "B K"]
    energy: Float[Array, ""]


def trust_region_expansion(relaxation: LinearisableRelaxation) -> Expansion:
    """Expand the energy of a stacked network or any sequence of layers, in K + 2 sweeps.

    At z = 0 exactly, the slope of an activation with a kink is the mean of both sides.

    Args:
        relaxation: a relaxation that starts at a forward pass.

    Raises:
        ValueError: the network has activity decay, with which errors at a forward pass are not
            zero, or its inputs or outputs are free.
    """
    at = relaxation.linearised()
    step = direct_step(at)
    loss = at.energies_of(at.errors, at.prediction)
    _, departure = jax.jvp(relaxation.departure_of, (at.errors,), (step.errors,))
    left = at.output_error() - at.output_curvature(at.push(step.errors))
    # the minimum of a quadratic realises half of the decrease along its first slope
    return Expansion(departure, left, jnp.mean(loss + 0.5 * step.slope))


class GradientParts(NamedTuple):
    """Two parts whose sum is the weight gradient at the equilibrium, to first order in r."""

    backpropagation: AbstractNetwork
    trust_region: AbstractNetwork


def trust_region_gradient(
    network: Network | SequenceNetwork, x: Float[Array, "B *D"], y: Float[Array, "B K"]
) -> GradientParts:
    """Return both parts of eq. 3.6, as corrected in the module's docstring.

    Raises:
        ValueError: as for `trust_region_expansion`.
    """
    relaxation = network.relaxation(x, y)
    r = relaxation.linearised().output_error()
    w = trust_region_expansion(relaxation).output_error
    _, pull = jax.vjp(lambda network: network.predict(x), network)
    return GradientParts(pull(-r / len(x))[0], pull((r - w) / len(x))[0])


def forward_curvature(
    network: Network, x: Float[Array, " D"], y: Float[Array, " K"], *, fisher: bool = True
) -> BlockTridiagonal:
    """Return I, or the Hessian d2F/dz2, at the forward pass of one sample (vmap it for more).

    The slopes phi' of the forward pass turn a_l W_l into A_l = a_l W_l diag(phi'(z_{l-1})) + tau I.
    The Hessian differs in the last block alone, by the second derivative of the output's prediction
    times its error. It may be indefinite if that error is large.

    Args:
        network: a stacked network.
        x: the input.
        y: the target; the Fisher information of squared errors does not depend on it.
        fisher: whether to return I rather than the Hessian.

    Raises:
        ValueError: the network has activity decay, or skips span several layers, so that the matrix
            is not tridiagonal.
    """
    config = network.config
    if config.skip > 1 or config.activity_decay:
        raise ValueError(
            "a block-tridiagonal curvature at the forward pass needs skip 1 and activity_decay 0, "
            f"got {config.skip} and {config.activity_decay:g}"
        )
    z = network.forward(x[None])[:, 0]
    slope = config.phi.respond(z, jnp.zeros_like(z)).slope
    identity = jnp.eye(config.width, dtype=z.dtype)
    p = jnp.array(config.precisions or (1.0,) * (config.depth + 1), z.dtype)
    between = config.scalings.hidden * network.hidden * slope[:-1, None]
    between = between + (identity if config.residual else 0)
    from_hidden = p[1:-1, None, None] * jnp.einsum("lmi,lmj->lij", between, between)
    last = _output_fisher if fisher else _output_hessian
    from_above = jnp.concatenate([from_hidden, p[-1] * last(network, z[-1], y)[None]])
    return BlockTridiagonal(
        p[:-1, None, None] * identity + from_above, -p[1:-1, None, None] * between
    )


def _output_hessian(network: Network, z: Float[Array, " N"], y: Float[Array, " K"]) -> Array:
    output = network.config.output_energy
    return jax.hessian(lambda z: output.per_sample(y[None], network.readout(z[None]))[0])(z)


def _output_fisher(network: Network, z: Float[Array, " N"], y: Float[Array, " K"]) -> Array:
    output = network.config.output_energy
    prediction = network.readout(z[None])[0]
    J = jax.jacrev(lambda z: network.readout(z[None])[0])(z)
    C = jax.hessian(lambda f: output.per_sample(y[None], f[None])[0])(prediction)
    return J.T @ C @ J

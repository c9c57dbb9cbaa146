"""The inference equilibrium of linear networks, dF/dz = 0, in closed form."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linalg import lapack
from pccore.linalg.blocktridiagonal import BlockTridiagonal
from pccore.networks.local import StackEnergy
from pccore.networks.stack import Stack, StackConfig


def solve(relaxation: StackEnergy) -> Float[Array, "H B N"]:
    """Return the departure of z* = H_z^-1 b (thesis eq. 5.4), by the best solver for the network.

    Raises:
        ValueError: the activation is not "linear" or the output energy is not "mse".
    """
    config = relaxation.network.config
    require_linear(config)
    if not config.activity_decay:
        return by_errors(relaxation)
    return by_blocks(relaxation) if config.stride == 1 else by_conjugate_gradients(relaxation)


def activity_hessian(network: Stack, *, clamped: bool = True) -> BlockTridiagonal:
    """Return B d2F/dz2 of a linear network, equal for all samples (eqs. C.9, C.19).

    With A_l = a_l W_l + tau I, blocks (l, l) are (p_l + alpha) I + p_{l+1} A_{l+1}^T A_{l+1} and
    blocks (l, l-1) are -p_l A_l.

    Args:
        network: the weights.
        clamped: whether the output is clamped; a free output adds no energy, as if p_L were 0.

    Raises:
        ValueError: the errors of `solve`; or skips span several layers, so that the Hessian is not
            block-tridiagonal.
    """
    config = network.config
    require_linear(config)
    if config.skip > 1:
        raise ValueError(f"a block-tridiagonal activity Hessian needs skip 1, got {config.skip}")
    a, identity = config.scalings, jnp.eye(config.width, dtype=network.last.dtype)
    between = a.hidden * network.hidden + (identity if config.residual else 0)
    output = (config.output_precision**0.5 * a.last if clamped else 0) * network.last
    return tridiagonal(config, between, output)


def tridiagonal(
    config: StackConfig, between: Float[Array, "Hm1 N N"], output: Float[Array, "K N"]
) -> BlockTridiagonal:
    """Return the Hessian of sum_l p_l/2 |z_l - A_l z_{l-1}|^2 + alpha/2 |z_l|^2 + 1/2 |C z_H|^2.

    Args:
        config: p_l and alpha.
        between: A_2 .. A_H.
        output: C.
    """
    identity = jnp.eye(config.width, dtype=between.dtype)
    p = jnp.array(config.precisions[:-1] or (1.0,) * config.depth, identity.dtype)[:, None, None]
    from_hidden = p[1:] * jnp.einsum("lmi,lmj->lij", between, between)
    curvature = jnp.concatenate([from_hidden, (output.T @ output)[None]])
    return BlockTridiagonal((p + config.activity_decay) * identity + curvature, -p[1:] * between)


def require_linear(config: StackConfig) -> None:
    """Raise `ValueError` unless the energy is quadratic in the activities."""
    for key, value, needed in (
        ("activation", config.activation, "linear"),
        ("output", config.output, "mse"),
    ):
        if value != needed:
            raise ValueError(f"exact inference needs {key} {needed!r}, got {value!r}")


class Rescaling(NamedTuple):
    """The rescaling S = R^T R of the equilibrated energy, and its factors.

    Attributes:
        root: R, upper triangular.
        responses: J_l, the responses of the output to an error of layer l.
    """

    root: Float[Array, "K K"]
    responses: Float[Array, "K H N"]


def rescaling(relaxation: StackEnergy) -> Rescaling:
    """Return S = I / p_L + sum_l J_l J_l^T / p_l (thesis eqs. 4.5, C.26), without activity decay.

    It uses QR, because the products J J^T would square the condition number.
    """
    network, config = relaxation.network, relaxation.network.config
    start = relaxation.origin()

    def response(errors: Float[Array, "H 1 N"]) -> Float[Array, " K"]:
        top = relaxation.departure_of(errors)[-1, 0]
        return config.scalings.last * (network.last @ top)

    J = jax.jacrev(response)(jnp.zeros_like(start[:, :1]))[:, :, 0]
    rows = (J / jnp.sqrt(relaxation.hidden_precisions(start.dtype)[:, 0])).reshape(len(J), -1).T
    own = jnp.eye(len(J), dtype=start.dtype) / config.output_precision**0.5
    return Rescaling(lapack.qr_root(jnp.concatenate([own, rows])), J)


def by_errors(relaxation: StackEnergy) -> Float[Array, "H B N"]:
    """Solve without decay: two sweeps and a K x K system, O(H N^2 (B + K)).

    All errors of a sample follow from its residual r = y - f(x), as in the derivation of eq. 4.5:

        e_l = J_l^T S^-1 r / p_l        (`rescaling`)

    Without subtractions, this is accurate where H_z is too ill-conditioned to be factorised, as in
    deep residual networks under the standard parameterisation.
    """
    S = rescaling(relaxation)
    r = relaxation.y - relaxation.network.readout(relaxation.start[-1])
    e_last = lapack.cho_solve(S.root.T, r.T)
    errors = jnp.einsum("kln,kb->lbn", S.responses, e_last)
    return relaxation.departure_of(errors / relaxation.hidden_precisions(errors.dtype))


def by_blocks(relaxation: StackEnergy) -> Float[Array, "H B N"]:
    """Solve H_z d = -dF/dz by blocks, O(H N^3), with one step of refinement; needs skip 1."""
    factors = activity_hessian(relaxation.network).factorise()

    def newton(_: Array, departure: Array) -> Array:
        return departure - factors.solve(relaxation.gradient(departure))

    return jax.lax.fori_loop(0, 2, newton, relaxation.origin())


def by_conjugate_gradients(relaxation: StackEnergy) -> Float[Array, "H B N"]:
    """Solve H_z d = -dF/dz from products with H_z, for skips of any length.

    It is fast with decay only, which bounds the condition number by 1 + lambda_max / alpha.
    """
    slope, product = jax.linearize(relaxation.gradient, relaxation.origin())
    return conjugate_gradients(product, -slope)


def conjugate_gradients(product: Callable[[Array], Array], b: Array) -> Array:
    """Solve a positive definite system to rounding; differentiable."""
    tolerance = 10 * float(jnp.finfo(b.dtype).eps)
    return jax.scipy.sparse.linalg.cg(product, b, tol=tolerance, maxiter=b.size)[0]

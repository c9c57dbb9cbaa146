"""Responses of activations to small departures: float64 and automatic differentiation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases
from own_functions import FUNCTIONS

import pccore

OWN = {f"own {function.__name__}": pccore.ACTIVATIONS.name(function) for function in FUNCTIONS}

SMOOTH_POINTS = np.array([-3.0, -1.7, -0.6, -0.01, 0.013, 0.4, 0.97, 1.9, 3.2])


def functions(name):
    """Return phi and respond."""
    activation = pccore.ACTIVATIONS[OWN.get(name, name)]
    return activation.phi, activation.respond


@partial(jax.jit, static_argnums=0)
def derivative(phi, z):
    return jax.vmap(jax.grad(phi))(z.ravel()).reshape(z.shape)


@pytest.mark.parametrize("name", sorted([*pccore.ACTIVATIONS, *OWN]))
class TestResponse:
    def test_agrees_with_subtraction_and_autodiff(self, name):
        phi, respond = functions(name)
        with jax.enable_x64(True):
            z, d = (
                jnp.asarray(grid)
                for grid in np.meshgrid(
                    SMOOTH_POINTS, [-8.0, -0.5, -1e-3, 0.0, 0.017, 0.3, 2.5, 9.0]
                )
            )
            change, slope = respond(z, d)
            np.testing.assert_allclose(change, phi(z + d) - phi(z), rtol=1e-9, atol=1e-13)
            np.testing.assert_allclose(slope, derivative(phi, z + d), rtol=1e-12, atol=1e-13)

    @pytest.mark.parametrize("size", cases([1e-2, 1e-5, 1e-30, 1e-9, 1e-20], 3))
    def test_small_changes_are_accurate_relative_to_their_size(self, name, size):
        phi, respond = functions(name)
        z = jnp.asarray(SMOOTH_POINTS, jnp.float32)
        change = respond(z, jnp.full_like(z, size))[0]
        assert change.dtype == jnp.float32
        with jax.enable_x64(True):
            wide = np.asarray(z, np.float64)
            # mean slope over [z, z + size] by Gauss-Legendre quadrature, without a subtraction
            nodes, weights = np.polynomial.legendre.leggauss(20)
            at = wide[:, None] + float(np.float32(size)) * (nodes + 1) / 2
            slopes = np.asarray(derivative(phi, jnp.asarray(at)))
            expected = float(np.float32(size)) * slopes @ weights / 2
        np.testing.assert_allclose(change, expected, rtol=1e-4, atol=0)

    def test_slope_at_the_kink_equals_autodiff(self, name):
        phi, respond = functions(name)
        zero = jnp.zeros(1)
        np.testing.assert_allclose(respond(zero, zero)[1], derivative(phi, zero), rtol=1e-6)


def test_relu_change_is_exact_across_the_kink():
    _, respond = functions("relu")
    z = jnp.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    d = jnp.array([3.0, -3.0, 0.5, 0.5, 2.0])
    np.testing.assert_array_equal(respond(z, d)[0], [2.0, -1.0, 0.0, 0.5, 2.0])


@pytest.mark.parametrize("name", sorted(OWN))
def test_derivatives_of_the_change_are_differences_of_slopes(name):
    """What automatic differentiation finds, forwards and backwards, not that of a quadrature."""
    phi, respond = functions(name)
    z, d = jnp.asarray(SMOOTH_POINTS), jnp.full(len(SMOOTH_POINTS), 0.03)
    before, after = derivative(phi, z), derivative(phi, z + d)
    of_z, of_d = jax.grad(lambda z, d: jnp.sum(respond(z, d).change), argnums=(0, 1))(z, d)
    np.testing.assert_allclose(of_d, after, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(of_z, after - before, rtol=1e-4, atol=1e-6)
    moved = jax.jvp(lambda z, d: respond(z, d).change, (z, d), (2 * z, 3 * d))[1]
    np.testing.assert_allclose(moved, of_z * 2 * z + of_d * 3 * d, rtol=1e-4, atol=1e-6)

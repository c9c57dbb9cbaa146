"""Activations as users write them: plain functions, each equal to a built-in activation."""

import jax
import jax.numpy as jnp


def tanh(z):
    return jnp.tanh(z)


def relu(z):
    return jnp.maximum(z, 0.0)


def gelu(z):
    return jax.nn.gelu(z, approximate=False)


def silu(z):
    return z * jax.nn.sigmoid(z)


def hard_tanh(z):
    return jnp.clip(z, -1.0, 1.0)


def softplus(z):
    return jnp.logaddexp(z, 0.0)


def elu(z):
    return jnp.where(z > 0, z, jnp.expm1(jnp.minimum(z, 0.0)))


FUNCTIONS = (tanh, relu, gelu, silu, hard_tanh, softplus, elu)

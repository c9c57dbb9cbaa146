"""Factorisations under vmap and differentiation, and in two concurrent programs."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest
from fewer import cases

from pccore.linalg import lapack

TWO_PROGRAMS = """
import threading
import pccore
from pccore.theory import ActivityConditioning

data = pccore.data.load("digits")
network = pccore.NetworkConfig(
    input_size=64, width=32, depth=8, output_size=10, activation="tanh", residual=False
)
config = pccore.TrainingConfig(
    network,
    pccore.PredictiveCoding(pccore.GradientDescent(20)),
    steps=12,
    eval_every=3,
    probes=(ActivityConditioning(),),
)

def train(first):
    lanes = [pccore.Lane(weight_lr=1e-3, activity_lr=1.0, seed=first + k) for k in range(3)]
    pccore.fit_many(config, data, lanes)

threads = [threading.Thread(target=train, args=(first,)) for first in (0, 3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def positive(*batch: int, n: int = 5) -> jax.Array:
    A = drawn(*batch, n, n)
    return A @ A.mT + jnp.eye(n)


def lower(*batch: int) -> jax.Array:
    return jnp.linalg.cholesky(positive(*batch))


CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., tuple[Any, ...]]]] = {
    "cholesky": (lapack.cholesky, jnp.linalg.cholesky, lambda *b: (positive(*b),)),
    "eigh": (lapack.eigh, lambda A: tuple(jnp.linalg.eigh(A)), lambda *b: (positive(*b),)),
    "qr": (lapack.qr, lambda A: tuple(jnp.linalg.qr(A)), lambda *b: (drawn(*b, 6, 4),)),
    "qr_root": (
        lapack.qr_root,
        lambda A: jnp.linalg.qr(A, mode="r"),
        lambda *b: (drawn(*b, 6, 4),),
    ),
    "solve_lower": (
        lapack.solve_lower,
        lambda L, b: jsl.solve_triangular(L, b, lower=True),
        lambda *b: (lower(*b), drawn(*b, 5, 3)),
    ),
    "cho_solve": (
        lapack.cho_solve,
        lambda L, b: jsl.cho_solve((L, True), b),
        lambda *b: (lower(*b), drawn(*b, 5, 3)),
    ),
    "lu": (
        lambda A, b: lapack.lu_solve(*lapack.lu_factor(A), b),
        jnp.linalg.solve,
        lambda *b: (drawn(*b, 5, 5), drawn(*b, 5, 3, seed=1)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_batches_and_derivatives_equal_the_original(name: str) -> None:
    ours, original, arguments = CASES[name]

    def total(function: Callable[..., Any], *arrays: jax.Array) -> jax.Array:
        return sum(jnp.sum(jnp.sin(out)) for out in jax.tree.leaves(function(*arrays)))

    one, many, more = arguments(), arguments(3), arguments(2, 3)
    jax.tree.map(np.testing.assert_array_equal, ours(*one), original(*one))
    for found, expected in zip(
        jax.tree.leaves(jax.vmap(jax.vmap(ours))(*more)),
        jax.tree.leaves(jax.vmap(jax.vmap(original))(*more)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # the batch shares all arguments but the first
    shared = tuple(a[0] if i else a for i, a in enumerate(many))
    axes = tuple(None if i else 0 for i in range(len(many)))
    for found, expected in zip(
        jax.tree.leaves(jax.vmap(ours, axes)(*shared)),
        jax.tree.leaves(jax.vmap(original, axes)(*shared)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    slopes = [jax.grad(lambda *a, f=f: total(f, *a))(*one) for f in (ours, original)]
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_empty_batch() -> None:
    assert jax.vmap(lapack.solve_lower)(lower(2)[:0], drawn(0, 5, 3)).shape == (0, 5, 3)


@pytest.mark.parametrize("batch", cases([(2, 4), (), (4,)], 2))
@pytest.mark.parametrize("K", cases([1, 10, 2], 2))
def test_small_systems(batch: tuple[int, ...], K: int) -> None:
    with jax.enable_x64(True):
        A, b = drawn(*batch, K, K), drawn(*batch, K, seed=1)
        expected = jnp.linalg.solve(A, b[..., None])[..., 0]
        np.testing.assert_allclose(lapack.solve_small(A, b), expected, rtol=1e-9)


def test_small_system_with_row_exchange() -> None:
    A = jnp.array([[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    np.testing.assert_allclose(lapack.solve_small(A, A @ jnp.arange(3.0)), jnp.arange(3.0))


@pytest.mark.slow
def test_concurrent_trainings_do_not_deadlock() -> None:
    # XLA's own batches deadlock here.
    environment = {"PJRT_NPROC": "2", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    command = [sys.executable, "-c", TWO_PROGRAMS]
    subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=240)

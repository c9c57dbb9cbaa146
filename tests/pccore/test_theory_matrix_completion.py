"""Matrix completion: minimisation over activities and free outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases

from pccore.theory import matrix_completion as completion

WIDTHS = [(4, 3, 5), (3, 1, 2, 3), (2, 3, 3, 2, 4)]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def draw(widths, seed=0):
    random = np.random.default_rng(seed)
    pairs = list(zip(widths[1:], widths, strict=False))
    matrices = [jnp.asarray(random.normal(size=pair)) for pair in pairs]
    target = jnp.asarray(random.normal(size=(widths[-1], widths[0])))
    observed = jnp.asarray(random.random(target.shape) < 0.7, float)
    return matrices, target, observed


@pytest.mark.parametrize("widths", cases(WIDTHS, 1))
def test_energy_is_the_minimum_over_activities_and_free_outputs(widths):
    """The reference is least squares of all errors per column, with free outputs as unknowns."""
    matrices, target, observed = jax.tree.map(np.asarray, drawn := draw(widths))
    total = 0.0
    for column in range(widths[0]):
        free = np.flatnonzero(observed[:, column] == 0)
        hidden = widths[1:-1]

        def errors(unknown, column=column, free=free, hidden=hidden):
            *z, extra = np.split(unknown, np.cumsum(hidden))
            y = (observed * target)[:, column]
            y[free] = extra
            states = [np.eye(widths[0])[column], *z, y]
            return np.concatenate(
                [s - W @ b for W, b, s in zip(matrices, states, states[1:], strict=False)]
            )

        offset = errors(np.zeros(sum(hidden) + len(free)))
        J = np.stack([errors(unit) - offset for unit in np.eye(sum(hidden) + len(free))], axis=1)
        least = offset + J @ np.linalg.lstsq(J, -offset, rcond=None)[0]
        total += 0.5 * least @ least
    found = completion.completion_energy(*drawn)
    np.testing.assert_allclose(found, total / widths[0], rtol=1e-9)


def test_free_entries_do_not_matter_and_small_weights_give_the_loss():
    matrices, target, observed = draw((4, 3, 5))
    other = target + (1 - observed)
    for objective in (completion.completion_loss, completion.completion_energy):
        np.testing.assert_allclose(
            objective(matrices, other, observed), objective(matrices, target, observed), rtol=1e-12
        )
    small = [1e-6 * W for W in matrices]
    expected = 0.5 * float(jnp.sum((observed * target) ** 2)) / 4
    np.testing.assert_allclose(completion.completion_loss(small, target, observed), expected)
    np.testing.assert_allclose(completion.completion_energy(small, target, observed), expected)

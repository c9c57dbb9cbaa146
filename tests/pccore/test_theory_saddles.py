"""Zero-rank saddles: automatic differentiation of the energy after inference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import theory_landscapes as problems
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

from pccore.theory.saddles import ZeroRankHessian, zero_rank_saddle

EXACT = {"rtol": 1e-9, "atol": 1e-9}
WIDTHS = st.sampled_from([(1, 1, 1), (2, 1, 3, 2), (2, 3, 1, 2, 2), (1, 2, 2, 3, 2, 3)])
SEEDS = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def saddle(widths, zero, seed=0):
    matrices, x, y = problems.draw(widths, seed)
    return zero_rank_saddle(matrices, zero), x, y


@st.composite
def saddles(draw):
    widths = draw(WIDTHS)
    L = len(widths) - 1
    return saddle(widths, {L} | draw(st.sets(st.integers(1, L - 1), min_size=1)), draw(SEEDS))


@examples(4)
@given(saddles(), st.sampled_from(["loss", "energy"]))
def test_hessian_matches_autodiff(drawn, which):
    matrices, x, y = drawn
    objective = getattr(problems, which)
    _, gradient, expected = problems.derivatives(objective, matrices, x, y)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    expected = np.asarray(expected)
    mine = getattr(ZeroRankHessian, f"of_{which}")(matrices, x, y)
    values = np.linalg.eigvalsh(expected)
    np.testing.assert_allclose(mine.dense(), expected, **EXACT)
    np.testing.assert_allclose(mine.eigenvalues(), values, rtol=1e-9, atol=1e-7)
    escape = mine.escape()
    vector = problems.flat(escape.weights)
    np.testing.assert_allclose(escape.curvature, values[0], **EXACT)
    np.testing.assert_allclose(expected @ vector, escape.curvature * vector, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(mine.curvature(escape.weights), escape.curvature, **EXACT)


@examples(6)
@given(saddles())
def test_energy_saddle_is_strict_through_the_last_layer(drawn):
    """Theorem 3.3: the thesis's direction, with ones on the diagonal, is not steeper."""
    matrices, x, y = drawn
    mine = ZeroRankHessian.of_energy(matrices, x, y)
    own = mine.last_layer_escape()
    np.testing.assert_allclose(mine.curvature(own.weights), own.curvature, **EXACT)
    still = [jnp.zeros_like(W) for W in matrices[:-1]]
    theirs = mine.curvature([*still, jnp.eye(*matrices[-1].shape)])
    assert mine.escape().curvature - 1e-9 <= own.curvature <= theirs + 1e-9 < 0


@pytest.mark.slow
@pytest.mark.parametrize("H", [2, 3, 4])
def test_all_but_the_penultimate_matrix_zero(H):
    """Figs. B.3, B.4: the loss is flat for H >= 3, and not at H = 2 as in their caption."""
    L = H + 1
    matrices, x, y = saddle([3, *[2] * H, 3], set(range(1, L + 1)) - {L - 1})
    loss = ZeroRankHessian.of_loss(matrices, x, y)
    energy = ZeroRankHessian.of_energy(matrices, x, y)
    _, _, dense = problems.derivatives(problems.loss, matrices, x, y)
    dense = np.linalg.eigvalsh(dense)
    if H == 2:
        assert dense[0] < -0.1
        return
    np.testing.assert_allclose(dense, 0, atol=1e-12)
    np.testing.assert_allclose(loss.eigenvalues(), 0, atol=1e-12)
    np.testing.assert_allclose(
        energy.escape().curvature, energy.last_layer_escape().curvature, **EXACT
    )


@pytest.mark.parametrize("zero", [{1}, {3}, {1, 2}, {0, 3}, {1, 3, 4}])
def test_rejects_points_that_are_not_saddles(zero):
    matrices, _, _ = problems.draw([2, 2, 2, 2])
    with pytest.raises(ValueError, match="zeros at layer 3 and at one or more of 1 to 2"):
        zero_rank_saddle(matrices, zero)

"""The trust-region expansion: the equilibrium of inference."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest
from fewer import cases

import pccore
from pccore.inference import GaussNewton
from pccore.theory import expansion
from pccore.theory.chains import LinearChain

DEEP = pccore.NetworkConfig(3, 2, 4, 3, activation="tanh", parameterisation="mupc")
PLAIN = replace(DEEP, residual=False, activation="gelu")
CASES = {
    "residual": DEEP,
    "plain": PLAIN,
    "one-layer-chain": replace(PLAIN, width=1, depth=1),
    "two-skip": replace(DEEP, skip=2, depth=5),
    "precisions": replace(DEEP, precisions=(0.5, 2.0, 1.0, 3.0)),
    "cross-entropy": replace(DEEP, output="cross_entropy"),
}
LINEAR = replace(DEEP, activation="linear", precisions=(0.5, 2.0, 1.0, 3.0))


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def near(network, x, share):
    """Return targets whose slope of the output energy is `share` times a fixed slope."""
    prediction = network.predict(x)
    r = share * jnp.asarray(np.random.default_rng(3).uniform(-1, 1, size=prediction.shape))
    if network.config.output == "mse":
        return prediction + r
    # y - softmax; y sums to one
    return jax.nn.softmax(prediction) + 0.3 * (r - r.mean(axis=1, keepdims=True))


@jax.jit
def compare(network, x, y):
    """Return norms of the expanded quantities and of the errors of the expansion."""
    relaxation = network.relaxation(x, y)
    exact = GaussNewton(12).infer(relaxation, jnp.array(1.0)).departure
    mine = expansion.trust_region_expansion(relaxation)
    learned = relaxation.weight_gradients(exact)
    first_order = jax.tree.map(jnp.add, *expansion.trust_region_gradient(network, x, y))
    differences = {
        "activities": (mine.departure, exact),
        "first-order gradient": (first_order, learned),
        "gradient there": (relaxation.weight_gradients(mine.departure), learned),
    }
    found = {
        name: (size(b), size(jax.tree.map(jnp.subtract, a, b)))
        for name, (a, b) in differences.items()
    }
    F = jnp.sum(relaxation.energies(exact))
    found["energy"] = F, jnp.abs(mine.energy - F)
    return found


expand = jax.jit(expansion.trust_region_expansion)
curvature = jax.jit(expansion.forward_curvature, static_argnames="fisher")


def size(tree):
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


ORDERED = ("two-skip", "cross-entropy", "residual", "plain", "one-layer-chain", "precisions")


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(ORDERED, 2))
def test_order_of_accuracy(name):
    """Halving r halves departures and gradients.

    It divides their errors by at least four, and the error of the energy by at least eight.
    """
    network, x, _ = problems.problem(CASES[name])
    coarse, fine = (compare(network, x, near(network, x, share)) for share in (2e-2, 1e-2))
    for quantity, (of, error) in coarse.items():
        least = 3 if quantity == "energy" else 2
        order = np.log2(error / fine[quantity][1])
        assert order == pytest.approx(least, abs=0.25) or order > least, quantity
        assert error < 0.1 * of, quantity
        if quantity != "energy":
            assert np.log2(of / fine[quantity][0]) == pytest.approx(1, abs=0.1), quantity


@pytest.mark.slow
def test_expansion_is_exact_for_linear_networks():
    """The exception is the gradient as a sum of two parts, which is of first order."""
    network, x, y = problems.problem(LINEAR)
    found = compare(network, x, y)
    for quantity in ("activities", "energy", "gradient there"):
        of, error = found[quantity]
        assert error < 1e-9 * of, quantity
    of, error = found["first-order gradient"]
    assert error > 1e-3 * of


@pytest.mark.slow
def test_expansion_of_sequence_networks():
    """The general network of the same layers has the same expansion."""
    network, x, y = problems.problem(PLAIN)
    sequence = pccore.SequenceConfig((3,), 2, lambda key: PLAIN.build(key).layers())
    general = eqx.tree_at(
        lambda general: jax.tree.leaves(general),
        sequence.build(jax.random.key(0)),
        [network.first, *network.hidden, network.last],
    )
    mine = expand(network.relaxation(x, y))
    other = expand(general.relaxation(x, y))
    np.testing.assert_allclose(jnp.stack(other.departure), mine.departure, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.output_error, mine.output_error, rtol=1e-9)
    np.testing.assert_allclose(other.energy, mine.energy, rtol=1e-9)


@pytest.mark.parametrize("output", ["mse", "cross_entropy"])
def test_curvatures_match_autodiff(output):
    config = replace(DEEP, output=output, precisions=(0.5, 2.0, 1.0, 3.0))
    network, x, y = problems.problem(config)
    x, y = x[1:2], y[1:2]
    relaxation = network.relaxation(x, y)
    z = relaxation.activities(relaxation.origin())

    def energy(z):
        return problems.energy(network, z.reshape(relaxation.start.shape), x, y)

    hessian = jax.jit(jax.hessian(energy))(z.ravel())
    mine = curvature(network, x[0], y[0], fisher=False)
    np.testing.assert_allclose(dense(mine), hessian, rtol=1e-9, atol=1e-10)

    # E[grad grad^T] over targets drawn from the model, with gradients from r alone
    fisher = curvature(network, x[0], y[0])
    difference = dense(fisher) - hessian
    np.testing.assert_allclose(difference[:-4, :-4], 0, atol=1e-10)
    assert np.linalg.eigvalsh(dense(fisher))[0] > 0
    gradient = jax.jit(jax.grad(energy))(z.ravel()).reshape(config.depth, 1, config.width)
    step = expand(relaxation).departure
    np.testing.assert_allclose(step, -fisher.factorise().solve(gradient), rtol=1e-9, atol=1e-10)


def dense(blocks):
    H, N, _ = blocks.diagonal.shape
    full = np.zeros((H, N, H, N))
    for layer in range(H):
        full[layer, :, layer] = blocks.diagonal[layer]
        if layer:
            full[layer, :, layer - 1] = blocks.below[layer - 1]
            full[layer - 1, :, layer] = blocks.below[layer - 1].T
    return full.reshape(H * N, H * N)


def test_fisher_information_is_the_hessian_averaged_over_targets():
    """For y = f(zhat) + unit noise, opposite noises cancel the second derivatives of f exactly."""
    network, x, _ = problems.problem(DEEP)
    x, (prediction,) = x[1], network.predict(x[1:2])
    noise = jnp.asarray([0.7, -1.1])

    two = [curvature(network, x, prediction + sign * noise, fisher=False) for sign in (-1, 1)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *two)
    expected = curvature(network, x, prediction)
    np.testing.assert_allclose(dense(mean), dense(expected), rtol=1e-9, atol=1e-10)
    assert not np.allclose(dense(two[0]), dense(two[1]))


@pytest.mark.slow
def test_corrected_eq_3_6_in_the_one_unit_network():
    """dF*/dw_1 is that of the loss over 1 + w_2^2: the trust-region part has the opposite sign."""
    config = pccore.NetworkConfig(
        1, 1, 1, 1, activation="linear", parameterisation="sp", residual=False
    )
    network, x, y = problems.problem(config)
    y = -x
    w = jnp.concatenate([network.first.ravel(), network.last.ravel()])
    chain = LinearChain.of(x, y)
    parts = jax.jit(expansion.trust_region_gradient)(network, x, y)
    loss = chain.loss_gradient(w)[0]
    first = {name: float(part.first[0, 0]) for name, part in parts._asdict().items()}
    assert first["backpropagation"] == pytest.approx(float(loss))
    assert first["trust_region"] == pytest.approx(float(-loss * w[1] ** 2 / (1 + w[1] ** 2)))
    assert sum(first.values()) == pytest.approx(float(chain.energy_gradient(w)[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activity_decay": 0.5}, "needs skip 1 and activity_decay 0, got 1 and 0.5"),
        ({"skip": 2}, "needs skip 1 and activity_decay 0, got 2 and 0"),
    ],
)
def test_rejects_curvatures_that_are_not_tridiagonal(change, message):
    network, x, y = problems.problem(replace(DEEP, **change))
    with pytest.raises(ValueError, match=message):
        expansion.forward_curvature(network, x[0], y[0])

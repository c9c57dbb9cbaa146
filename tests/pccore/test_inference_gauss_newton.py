"""Gauss-Newton inference: dense linear algebra, long descent and Newton's method."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases, examples
from hypothesis import given
from hypothesis import strategies as st
from pc_problems import accuracy_on_digits, assert_close, energy, equilibrium, problem, random_like

import pccore
from pccore.inference import GaussNewton, GradientDescent
from pccore.inference.gauss_newton_step import conjugate_step, direct_step
from pccore.networks.linear_solution import activity_hessian

CONFIG = pccore.NetworkConfig(input_size=4, output_size=3, width=5, depth=3, activation="tanh")
LINEAR = replace(CONFIG, activation="linear")
VARIANTS = {
    "mupc": CONFIG,
    "one-of-each": replace(CONFIG, output_size=1, width=1, depth=1),
    "plain-relu": replace(CONFIG, parameterisation="sp", residual=False, activation="relu"),
    "cross-entropy": replace(CONFIG, parameterisation="sp", output="cross_entropy", bias=True),
    "all-else": replace(
        CONFIG,
        depth=4,
        skip=2,
        output="cross_entropy",
        precisions=(2.0, 0.5, 3.0, 1.5, 0.25),
        bias=True,
    ),
}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def stacked(network, x, y):
    return network.relaxation(x, y)


def general(network, x, y):
    """Return the relaxation of the same network as a sequence of layers."""
    return pccore.clamp(network, {0: x, -1: y})


@partial(jax.jit, static_argnums=(0, 1))
def infer(scheme, build, network, x, y, departure=None):
    """Return the inference, its activities and their energy."""
    relaxation = build(network, x, y)
    inference = scheme.infer(relaxation, jnp.nan, departure)
    z = jnp.stack([*relaxation.activities(inference.departure)])
    return inference, z, jnp.sum(relaxation.energies(inference.departure))


@jax.jit
def sample_energies(network, z, x, y):
    """Return the energy of each sample from the reference."""
    one = jax.vmap(lambda z, x, y: energy(network, z[:, None], x[None], y[None]), (1, 0, 0))
    return one(z, x, y)


def sizes(draw_from):
    return st.builds(
        partial(replace, LINEAR),
        width=st.sampled_from(draw_from),
        depth=st.sampled_from([1, 2, 6]),
        output_size=st.sampled_from([1, 4]),
        residual=st.booleans(),
        parameterisation=st.sampled_from(["mupc", "sp"]),
    )


@pytest.mark.slow
@examples(6)
@given(sizes([1, 3]), st.booleans())
def test_one_iteration_solves_linear_networks(config, weighted):
    """The reference is the block-tridiagonal system H_z d = -dF/dz (thesis eq. 5.4)."""
    precisions = tuple(np.linspace(0.5, 2, config.depth + 1)) if weighted else ()
    network, x, y = problem(replace(config, bias=True, precisions=precisions))
    inference, _, _ = infer(GaussNewton(), stacked, network, x, y)

    @jax.jit
    def blocks(network, x, y):
        relaxation = network.relaxation(x, y)
        return (
            activity_hessian(network).factorise().solve(-relaxation.gradient(relaxation.origin()))
        )

    assert_close(inference.departure, blocks(network, x, y), atol=1e-13)
    assert inference.converged
    assert inference.residual < 1e-10


@pytest.mark.slow
def test_one_iteration_solves_linear_networks_with_longer_skips():
    network, x, y = problem(replace(LINEAR, depth=5, skip=2))
    _, z, _ = infer(GaussNewton(), stacked, network, x, y)
    assert_close(
        z, equilibrium(lambda z, *given: energy(given[0], z, *given[1:]), z, network, x, y)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameterisation", "depth"),
    [
        ("mupc", 64),
        ("sp", 16),
        pytest.param(
            "sp",
            64,
            marks=pytest.mark.xfail(
                strict=True,
                reason="float32 does not resolve S = I + JJ' over twelve orders of magnitude",
            ),
        ),
    ],
)
def test_float32_is_accurate_relative_to_each_layers_departure(parameterisation, depth):
    config = replace(LINEAR, width=8, depth=depth, parameterisation=parameterisation)
    network, x, y = problem(config)
    expected = jax.jit(lambda relaxation: relaxation.equilibrium())(network.relaxation(x, y))
    with jax.enable_x64(False):
        single = jax.tree.map(lambda w: w.astype(jnp.float32), (network, x, y))
        inference, _, _ = infer(GaussNewton(), stacked, *single)
    assert inference.departure.dtype == jnp.float32
    assert inference.converged
    off = np.linalg.norm(inference.departure - expected, axis=(1, 2))
    assert np.all(off < 1e-5 * np.linalg.norm(expected, axis=(1, 2)))


def test_float32_makes_progress_when_s_is_unresolved():
    """In SP with skips at 64 layers the eigenvalues of S span twelve orders of magnitude.

    float32 resolves seven of them, so that S can look indefinite.
    """
    network, x, y = problem(replace(LINEAR, width=8, depth=64, parameterisation="sp"))
    with jax.enable_x64(False):
        single = jax.tree.map(lambda w: w.astype(jnp.float32), (network, x, y))
        _, _, after = infer(GaussNewton(), stacked, *single)
        assert after < 1e-6 * single[0].relaxation(*single[1:]).loss()


@partial(jax.jit, static_argnums=0)
def steps(build, network, x, y, departure):
    """Return the steps of both solvers and the errors."""
    at = build(network, x, y).linearised(departure)
    return direct_step(at), conjugate_step(at, 100), at.errors


@jax.jit
def dense_steps(network, x, y, errors):
    """Return -(P + J'CJ)^-1 dF/de of each sample and the slope along it, by autodiff."""
    config = network.config
    p = jnp.repeat(jnp.array(config.precisions[:-1] or (1.0,) * config.depth), config.width)
    p_last = config.output_precision

    def prediction(e, x):
        relaxation = general(network, x[None], y[:1])
        errors = tuple(e.reshape(config.depth, 1, config.width))
        return relaxation.prediction(relaxation.departure_of(errors))[0]

    def one(e, x, y):
        def output(g):
            return p_last * config.output_energy.per_sample(y, g)

        J, g = jax.jacobian(prediction)(e, x), prediction(e, x)
        slopes = p * e + J.T @ jax.grad(output)(g)
        step = -jnp.linalg.solve(jnp.diag(p) + J.T @ jax.hessian(output)(g) @ J, slopes)
        return step, slopes @ step

    flat = errors.transpose(1, 0, 2).reshape(len(x), -1)
    step, slope = jax.vmap(one)(flat, x, y)
    return step.reshape(len(x), config.depth, config.width).transpose(1, 0, 2), slope


@pytest.mark.parametrize("name", cases(["one-of-each", "all-else", "plain-relu"], 2))
def test_steps_match_dense_gauss_newton(name):
    network, x, y = problem(VARIANTS[name])
    departure = random_like(jax.eval_shape(network.forward, x))
    for build, at in ((stacked, departure), (general, tuple(departure))):
        *found, errors = steps(build, network, x, y, at)
        expected, slope = dense_steps(network, x, y, jnp.stack([*errors]))
        assert np.all(slope < 0)
        for step in found:
            assert_close(jnp.stack([*step.errors]), expected, rtol=1e-8, atol=1e-11)
            assert_close(step.slope, slope, rtol=1e-8)


@pytest.mark.slow
def test_networks_and_solvers_agree():
    network, x, y = problem(VARIANTS["all-else"])
    iterations = 3
    _, expected, _ = infer(GaussNewton(iterations), stacked, network, x, y)
    assert np.abs(expected - network.forward(x)).max() > 1e-3
    for build in (stacked, general):
        for outputs in (0, 64):
            _, z, _ = infer(GaussNewton(iterations, outputs), build, network, x, y)
            assert_close(z, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_conjugate_gradients_converge_in_rank_plus_one_steps():
    """The rank of J P^-1 J' is at most that of the last layer's weights, here 5 of 80 outputs."""
    network, x, y = problem(replace(CONFIG, output_size=80))
    _, expected, _ = infer(GaussNewton(1, direct_outputs=80), stacked, network, x, y)
    _, z, _ = infer(GaussNewton(1, conjugate_steps=6), stacked, network, x, y)
    assert_close(z, expected, rtol=1e-8, atol=1e-10)


def newton(network, x, y):
    """Return the end of a long descent, refined by Newton's method with the dense Hessian."""
    relaxation = network.relaxation(x, y)
    z = relaxation.start + GradientDescent(4000).infer(relaxation, jnp.array(1.0)).departure

    def total(flat):
        return len(x) * energy(network, flat.reshape(z.shape), x, y)

    def step(_, flat):
        return flat - jnp.linalg.solve(jax.hessian(total)(flat), jax.grad(total)(flat))

    flat = jax.lax.fori_loop(0, 4, step, z.ravel())
    return z, flat.reshape(z.shape), jnp.linalg.eigvalsh(jax.hessian(total)(flat))[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mupc", "all-else"])
def test_iterations_converge_to_the_minimum_of_newtons_method(name):
    network, x, y = problem(VARIANTS[name])
    descended, expected, least = jax.jit(newton)(network, x, y)
    assert least > 0
    assert_close(descended, expected, rtol=1e-3, atol=1e-3)
    inference, z, _ = infer(GaussNewton(40), stacked, network, x, y)
    assert_close(z, expected, rtol=1e-6, atol=1e-7)
    assert inference.converged
    assert int(inference.steps) == 40


@pytest.mark.slow
@examples(12)
@given(
    st.sampled_from(
        [
            ("tanh", "mse", GaussNewton()),
            ("relu", "cross_entropy", GaussNewton()),
            ("softplus", "mse", GaussNewton(direct_outputs=0)),
        ]
    ),
    st.sampled_from([0.3, 1.0, 3.0, 10.0]),
    st.booleans(),
)
def test_energy_of_a_sample_never_rises(case, size, forward):
    """The start is a forward pass or random, with small or large weights."""
    activation, output, scheme = case
    config = replace(CONFIG, activation=activation, output=output, parameterisation="sp")
    network, x, y = problem(config)
    network = jax.tree.map(lambda w: size * w, network)
    start = network.forward(x)
    departure = jnp.zeros_like(start) if forward else random_like(start)
    energies = [sample_energies(network, start + departure, x, y)]
    for _ in range(3):
        inference, z, _ = infer(scheme, stacked, network, x, y, departure)
        departure = inference.departure
        energies.append(sample_energies(network, z, x, y))
    assert np.all(np.diff(energies, axis=0) <= 1e-12 * np.abs(energies[:-1]))
    assert np.any(energies[-1] < 0.99 * energies[0])


def test_shortens_a_step_that_would_raise_the_energy():
    network, x, y = problem(VARIANTS["plain-relu"])
    network = jax.tree.map(lambda w: 2 * w, network)
    relaxation = network.relaxation(x, y)
    full = jax.jit(lambda r: r.departure_of(direct_step(r.linearised()).errors))(relaxation)
    before, after = (
        sample_energies(network, relaxation.start + d, x, y) for d in (jnp.zeros_like(full), full)
    )
    rises = after > before
    assert rises.any()
    _, z, _ = infer(GaussNewton(), stacked, network, x, y)
    searched = sample_energies(network, z, x, y)
    assert np.all(searched[rises] < before[rises])


def test_predicted_target_keeps_the_forward_pass():
    network, x, _ = problem(CONFIG)
    # a separate program could round the prediction differently
    network = replace(network, last=jnp.zeros_like(network.last))
    inference, z, _ = infer(GaussNewton(2), stacked, network, x, network.predict(x))
    assert_close(z, network.forward(x))
    assert float(inference.residual) == 0


@pytest.mark.slow
def test_residual_is_relative_to_the_start():
    network, x, y = problem(VARIANTS["cross-entropy"])
    few, *_ = infer(GaussNewton(1), stacked, network, x, y)
    # energies locate the minimum to the root of their rounding, 1.5e-8
    many, *_ = infer(GaussNewton(40, tolerance=1e-7), stacked, network, x, y)
    assert not few.converged
    assert many.converged
    assert many.residual < 1e-7 < few.residual


@pytest.mark.slow
def test_given_start_and_observed_iterations():
    network, x, y = problem(CONFIG)
    given = random_like(network.forward(x))

    @jax.jit
    def observed(network, given):
        return GaussNewton(2).infer(network.relaxation(x, y), jnp.nan, given, lambda d: d).observed

    one, *_ = infer(GaussNewton(1), stacked, network, x, y, given)
    two, *_ = infer(GaussNewton(1), stacked, network, x, y, one.departure)
    assert_close(observed(network, given), jnp.stack([given, one.departure, two.departure]))


@pytest.mark.slow
def test_vmapped_lanes_equal_single_networks():
    """Lanes differ in the number of trials of a step and of conjugate-gradient steps."""
    network, x, y = problem(VARIANTS["plain-relu"])
    scales = jnp.array([0.1, 1.0, 3.0])
    for scheme in (GaussNewton(), GaussNewton(direct_outputs=0)):
        scaled = [jax.tree.map(lambda w, s=s: s * w, network) for s in scales]
        lanes = jax.tree.map(lambda *weights: jnp.stack(weights), *scaled)
        together = jax.jit(jax.vmap(lambda n, scheme=scheme: infer(scheme, stacked, n, x, y)[1]))
        alone = [infer(scheme, stacked, n, x, y)[1] for n in scaled]
        assert_close(together(lanes), jnp.stack(alone), rtol=1e-8)


def test_program_size_does_not_grow_with_depth():
    def size(depth, scheme):
        network, x, y = problem(replace(CONFIG, depth=depth))

        def run(network, x, y):
            return scheme.infer(network.relaxation(x, y), jnp.nan).departure

        return str(jax.make_jaxpr(run)(network, x, y)).count(" = ")

    for scheme in (GaussNewton(1), GaussNewton(3, direct_outputs=0)):
        assert size(4, scheme) == size(40, scheme)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda n, x, y: replace(n, config=replace(CONFIG, activity_decay=0.1)).relaxation(x, y),
            r"inference \(equilibrium\) needs activity_decay 0, got 0.1",
        ),
        (
            lambda n, x, y: pccore.clamp(n, {-1: y}),
            r"all hidden units free, got free units in nodes \(0, 1, 2, 3\) of 0 to 4",
        ),
        (
            lambda n, x, y: pccore.clamp(n, {0: x, 2: x, -1: y}, {2: np.arange(5) > 2}),
            r"got free units in nodes \(1, 2, 3\) of 0 to 4",
        ),
    ],
)
def test_rejects_unsupported_networks(build, sentence):
    network, x, y = problem(replace(CONFIG, input_size=5))
    with pytest.raises(ValueError, match=sentence):
        GaussNewton().infer(build(network, x, y), jnp.nan)


def test_rejects_networks_without_sweeps_and_invalid_options():
    network, x, y = problem(pccore.BidirectionalConfig(CONFIG, pccore.mirror(CONFIG)))
    with pytest.raises(ValueError, match="prediction, got BidirectionalRelaxation"):
        GaussNewton().infer(network.relaxation(x, y), jnp.nan)
    for options, sentence in (
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"conjugate_steps": 0}, "conjugate_steps must be at least 1, got 0"),
        ({"direct_outputs": -1}, "direct_outputs must be at least 0, got -1"),
        ({"tolerance": 0.0}, "tolerance must be positive, got 0.0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            GaussNewton(**options)


@pytest.mark.xfail(
    strict=True, raises=ValueError, reason="the curvature of activity decay has full rank"
)
def test_finds_the_equilibrium_with_activity_decay():
    network, x, y = problem(replace(LINEAR, activity_decay=0.1))
    expected = jax.jit(lambda relaxation: relaxation.equilibrium())(network.relaxation(x, y))
    inference, _, _ = infer(GaussNewton(), stacked, network, x, y)
    assert_close(inference.departure, expected, rtol=1e-8)


@pytest.mark.xfail(
    strict=True, raises=ValueError, reason="Gauss-Newton needs whole clamped inputs and outputs"
)
def test_completes_a_free_input():
    network, _, y = problem(CONFIG)
    assert pccore.complete(network, {-1: y}, GaussNewton(5), 1.0).converged


@pytest.mark.slow
def test_trains_digits():
    network = pccore.NetworkConfig(64, 10, width=16, depth=4)
    rule = pccore.PredictiveCoding(GaussNewton())
    assert accuracy_on_digits(network, rule, weight_lr=0.02) > 0.8

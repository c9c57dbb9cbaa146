"""The native call against float64 in NumPy, and where it is and is not taken."""

from dataclasses import replace
from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import examples
from hypothesis import Phase, assume, given
from hypothesis import strategies as st

import pccore
from pccore import native
from pccore.networks.stack import Biases

pytestmark = pytest.mark.skipif(native.instructions() is None, reason=native.reason())

UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
SCHEMES = (pccore.GradientDescent, pccore.Nesterov, pccore.AugmentedLagrangian)
CONFIG = pccore.NetworkConfig(19, 3, width=16, depth=5, activation="tanh", bias=True)

PHI = {
    "linear": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "leaky_relu": (lambda z: np.where(z < 0, 0.01 * z, z), lambda z: np.where(z < 0, 0.01, 1)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
}
"""phi and phi'."""

KINKED = ("relu", "leaky_relu")
KINK_MARGIN, RESTART_MARGIN = 3e-6, 1e-4
"""Distance of an activity from a kink, and cosine between gradient and step, below which float32
may decide otherwise than float64."""


def problem(config, batch, seed=0):
    """Return a network with random biases, inputs and one-hot targets, in float32."""
    draw = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return jnp.asarray(scale * draw.normal(size=shape), jnp.float32)

    D, K, N, H = config.input_size, config.output_size, config.width, config.depth
    unit = config.parameterisation == "mupc"
    biases = Biases(normal(H, N, scale=0.3), normal(K, scale=0.3)) if config.bias else None
    network = pccore.Network(
        normal(N, D, scale=1 if unit else D**-0.5),
        normal(H - 1, N, N, scale=1 if unit else N**-0.5),
        normal(K, N, scale=1 if unit else N**-0.5),
        biases,
        config,
    )
    y = np.eye(K, dtype=np.float32)[np.arange(batch) % K]
    return network, normal(batch, D), jnp.asarray(y)


class Reference:
    """The equations of `pccore.networks.local` in float64, with activities instead of departures.

    Attributes:
        kink: the smallest distance of an activity from 0.
        restart: the smallest cosine between a gradient and a step of Nesterov's.
    """

    def __init__(self, network, x, y):
        self.config = config = network.config
        arrays = (network.first, network.hidden, network.last, x, y)
        self.first, self.hidden, self.last, self.x, self.y = (np.asarray(a, float) for a in arrays)
        biases = network.biases
        blank = np.zeros((config.depth, config.width)), np.zeros(config.output_size)
        given = blank if biases is None else (biases.hidden, biases.last)
        self.b, self.b_last = (np.asarray(each, float) for each in given)
        self.a, self.p = config.scalings, np.array(config.precisions or [1.0] * (config.depth + 1))
        self.phi, self.slope = PHI[config.activation]
        self.kink = self.restart = np.inf

    def forward(self):
        z = [self.a.first * self.x @ self.first.T + self.b[0]]
        for layer in range(1, self.config.depth):
            z.append(self.predicted(layer, z[-1]))
        return np.stack(z)

    def predicted(self, layer, below):
        prediction = self.a.hidden * self.phi(below) @ self.hidden[layer - 1].T + self.b[layer]
        return prediction + below if self.config.residual else prediction

    def loss(self):
        prediction = self.a.last * self.phi(self.forward()[-1]) @ self.last.T + self.b_last
        if self.config.output == "mse":
            return 0.5 * np.mean(np.sum((self.y - prediction) ** 2, axis=1))
        return np.mean(np.log(np.exp(prediction).sum(axis=1)) - (self.y * prediction).sum(axis=1))

    def residuals(self, z):
        first = self.a.first * self.x @ self.first.T + self.b[0]
        rest = [z[layer] - self.predicted(layer, z[layer - 1]) for layer in range(1, len(z))]
        return np.stack([z[0] - first, *rest])

    def output_error(self, top):
        prediction = self.a.last * self.phi(top) @ self.last.T + self.b_last
        if self.config.output == "mse":
            return self.p[-1] * (self.y - prediction)
        odds = np.exp(prediction - prediction.max(axis=1, keepdims=True))
        return self.p[-1] * (self.y - odds / odds.sum(axis=1, keepdims=True))

    def gradient(self, z, multipliers=0.0):
        self.kink = min(self.kink, np.abs(z).min())
        e = self.p[:-1, None, None] * (self.residuals(z) + multipliers)
        g = e.copy()
        for layer in range(len(z) - 1):
            g[layer] -= self.slope(z[layer]) * (self.a.hidden * e[layer + 1] @ self.hidden[layer])
            g[layer] -= e[layer + 1] if self.config.residual else 0
        g[-1] -= self.slope(z[-1]) * (self.a.last * self.output_error(z[-1]) @ self.last)
        return g

    def inferred(self, scheme, rate):
        """Return activities and multipliers after inference."""
        z, multipliers = self.forward(), 0.0
        step, t, factor = np.zeros_like(z), np.ones(len(self.x)), np.zeros(len(self.x))
        for _ in range(scheme.steps):
            if isinstance(scheme, pccore.Nesterov):
                ahead = step * factor[:, None]
                g = self.gradient(z + ahead)
                step = ahead - rate * g
                along = (g * step).sum(axis=(0, 2))
                sizes = np.linalg.norm(g, axis=(0, 2)) * np.linalg.norm(step, axis=(0, 2))
                self.restart = min(self.restart, np.abs(along / (sizes + 1e-300)).min())
                t = np.where(along > 0, 1, t)
                factor = (t - 1) / (0.5 * (1 + np.sqrt(1 + 4 * t**2)))
                t, z = 0.5 * (1 + np.sqrt(1 + 4 * t**2)), z + step
            else:
                g = self.gradient(z, multipliers)
                z = z - rate * g
                if isinstance(scheme, pccore.AugmentedLagrangian):
                    multipliers += self.residuals(z)
                    # `gradient` takes r + lambda, where lambda is that of the step before
        return z, multipliers

    def learned(self, scheme, rate):
        """Return the gradients of W_1, the hidden weights, W_L, and of the biases."""
        z, multipliers = self.inferred(scheme, rate)
        if isinstance(scheme, pccore.AugmentedLagrangian):
            multipliers = multipliers - self.residuals(z)  # the last step has no second half
        self.kink = min(self.kink, np.abs(z).min())
        e = self.p[:-1, None, None] * (self.residuals(z) + multipliers)
        return self.weight_gradients(z, e, self.output_error(z[-1]))

    def backpropagated(self):
        """Return the same of the loss of the forward pass, which has no precisions."""
        z = self.forward()
        self.kink = min(self.kink, np.abs(z).min())
        error = self.output_error(z[-1]) / self.p[-1]
        delta = np.empty_like(z)
        delta[-1] = self.slope(z[-1]) * (self.a.last * error @ self.last)
        for layer in reversed(range(len(z) - 1)):
            above = delta[layer + 1]
            delta[layer] = self.slope(z[layer]) * (self.a.hidden * above @ self.hidden[layer])
            delta[layer] += above if self.config.residual else 0
        return self.weight_gradients(z, delta, error)

    def weight_gradients(self, z, e, e_last):
        B, seen = len(self.x), self.phi(z)
        hidden = [-self.a.hidden / B * e[layer].T @ seen[layer - 1] for layer in range(1, len(z))]
        return (
            -self.a.first / B * e[0].T @ self.x,
            np.reshape(hidden, self.hidden.shape),
            -self.a.last / B * e_last.T @ seen[-1],
            -e.mean(axis=1),
            -e_last.mean(axis=0),
        )


def learn(scheme, network, x, y, beta):
    """Return loss and gradients by the rule, compiled anew; None is backpropagation."""
    rule = pccore.PredictiveCoding(scheme) if scheme else pccore.Backpropagation()

    def gradients(network, x, y, beta):
        return rule.gradients(network, x, y, beta, jax.random.key(0))

    return jax.jit(gradients)(network, x, y, jnp.float32(beta))


def by_xla(monkeypatch, *problem):
    with monkeypatch.context() as patch:
        patch.setenv(native.VARIABLE, "0")
        return learn(*problem)


@st.composite
def networks(draw):
    depth = draw(st.integers(1, 12))
    precisions = st.lists(st.floats(0.5, 2), min_size=depth + 1, max_size=depth + 1).map(tuple)
    return pccore.NetworkConfig(
        input_size=draw(st.sampled_from([1, 7, 16, 130])),
        output_size=draw(st.integers(1, 6)),
        width=draw(st.integers(1, 40)),
        depth=depth,
        activation=draw(st.sampled_from(list(native.ACTIVATIONS))),
        residual=draw(st.booleans()),
        parameterisation=draw(st.sampled_from(["mupc", "sp"])),
        output=draw(st.sampled_from(list(native.OUTPUTS))),
        bias=draw(st.booleans()),
        precisions=draw(st.one_of(st.just(()), precisions)),
    )


@examples(40)
@given(
    config=networks(),
    scheme=st.one_of(
        st.builds(lambda of, steps: of(steps), st.sampled_from(SCHEMES), st.integers(1, 20)),
        st.none(),
    ),
    batch=st.sampled_from([1, 5, 33, 64, 100]),
    seed=st.integers(0, 9),
)
def test_gradients_are_those_of_float64(config, scheme, batch, seed):
    network, x, y = problem(config, batch, seed)
    assert native.takes(network, scheme, x, y)
    rate = 0.15
    reference = Reference(network, x, y)
    exact = reference.learned(scheme, rate) if scheme else reference.backpropagated()
    # What float32 may decide otherwise is counted apart, by the next test.
    assume(config.activation not in KINKED or reference.kink > KINK_MARGIN)
    assume(reference.restart > RESTART_MARGIN)
    loss, found = learn(scheme, network, x, y, rate * batch)
    assert loss == pytest.approx(reference.loss(), rel=1e-5)
    biases = () if found.biases is None else (found.biases.hidden, found.biases.last)
    arrays = (found.first, found.hidden, found.last, *biases)
    for actual, expected in zip(arrays, exact, strict=False):
        actual, expected = (layers_of(np.asarray(v, float)) for v in (actual, expected))
        sizes = np.linalg.norm(expected, axis=1)
        apart = np.linalg.norm(actual - expected, axis=1)
        noticeable = sizes > 1e-9  # float64 rounds errors of smaller ones, from activities
        assert np.all(apart[noticeable] < 2e-5 * sizes[noticeable]), (apart, sizes)


def layers_of(gradient):
    """Return a row for each layer."""
    layers = len(gradient) if gradient.ndim == 3 else 1
    return gradient.reshape(layers, gradient.size // max(layers, 1))


@pytest.mark.parametrize("of", [pccore.GradientDescent, pccore.Nesterov])
def test_few_samples_decide_otherwise_at_kinks_and_restarts(of, monkeypatch):
    """Gradients of single samples of a ReLU network, against XLA in float32: nearly all agree."""
    network, x, y = problem(replace(CONFIG, activation="relu", width=32, depth=8), 64)
    rule = pccore.PredictiveCoding(of(16))

    def of_each_sample(x, y):
        def gradient(x, y):
            return rule.gradients(network, x[None], y[None], 0.2, jax.random.key(0))[1].hidden

        return np.asarray(jax.jit(jax.vmap(gradient))(x, y))

    found = of_each_sample(x, y)
    monkeypatch.setenv(native.VARIABLE, "0")
    expected = of_each_sample(x, y)
    axes = (1, 2, 3)
    sizes = np.sqrt(np.sum(expected**2, axis=axes))
    apart = np.sqrt(np.sum((found - expected) ** 2, axis=axes)) / sizes
    assert np.median(apart) < 2e-6
    assert np.mean(apart < 1e-4) > 0.9


def test_layers_that_no_error_has_reached_have_zero_gradients():
    _, gradients = learn(pccore.GradientDescent(2), *problem(CONFIG, 8), 1.0)
    assert not np.any(gradients.first)
    assert not np.any(gradients.hidden[:2])
    assert not np.any(gradients.biases.hidden[:3])
    assert np.all(np.any(gradients.hidden[2:], axis=(1, 2)))


@pytest.mark.parametrize("batch", [1, 64, 70])
def test_instruction_sets_agree(batch):
    if not native.use_instructions("avx512"):
        pytest.skip("this processor has one instruction set")
    config = replace(CONFIG, width=33, input_size=150, output="cross_entropy")
    given = problem(config, batch)
    wide = learn(pccore.AugmentedLagrangian(9), *given, 0.2 * batch)
    assert native.use_instructions("avx2")
    try:
        narrow = learn(pccore.AugmentedLagrangian(9), *given, 0.2 * batch)
    finally:
        native.use_instructions("avx512")
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-8)
    jax.tree.map(close, wide, narrow)


def test_unknown_instruction_set_is_refused():
    before = native.instructions()
    assert not native.use_instructions("mmx")
    assert native.instructions() == before


@pytest.mark.parametrize("lanes", [1, 3])
def test_lane_is_a_call_of_its_own(lanes):
    given = [problem(CONFIG, 12, seed) for seed in range(lanes)]
    rule = pccore.PredictiveCoding(pccore.Nesterov(8))
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *given)
    rates = jnp.linspace(1, 2, lanes)

    def gradients(network, x, y, beta):
        return rule.gradients(network, x, y, beta, jax.random.key(0))

    together = jax.jit(jax.vmap(gradients))(*stacked, rates)
    for lane, of_lane in enumerate(given):
        alone = jax.jit(gradients)(*of_lane, rates[lane])
        mine = jax.tree.map(itemgetter(lane), together)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8), mine, alone)


def test_sweeps_that_follow_each_other_give_the_numbers_of_one_after_the_other(monkeypatch):
    """Above a megabyte of weights and activities, eight steps go down the layers together."""
    config = replace(CONFIG, activation="tanh", width=64, depth=60, bias=False)
    given = (pccore.GradientDescent(61), *problem(config, 20), 4.0)
    found, expected = learn(*given), by_xla(monkeypatch, *given)
    for name in ("first", "hidden", "last"):
        a, b = (layers_of(np.asarray(getattr(g[1], name))) for g in (found, expected))
        sizes = np.linalg.norm(b, axis=1)
        assert name == "first" or sizes[-1] > 1e-6
        assert np.all(np.linalg.norm(a - b, axis=1) < 1e-5 * sizes + 1e-25)


OTHERS = {
    "activation": replace(CONFIG, activation="gelu"),
    "skip": replace(CONFIG, skip=2),
    "decay": replace(CONFIG, activity_decay=0.1),
    "width": replace(CONFIG, width=native.MOST_WIDTH + 1, depth=1),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_other_networks_take_xla(config):
    rule = pccore.PredictiveCoding(pccore.GradientDescent(2))
    assert rule.path(config) == native.XLA
    assert native.TARGET not in program(rule, config)


@pytest.mark.parametrize(
    "rule",
    [
        pccore.PredictiveCoding(pccore.ErrorBased(2)),
        pccore.PredictiveCoding(pccore.GradientDescent(2), pccore.NormalStart()),
    ],
    ids=["scheme", "start"],
)
def test_other_rules_take_xla(rule):
    assert rule.path(CONFIG) == native.XLA
    assert native.TARGET not in program(rule, CONFIG)


def program(rule, config, dtype=jnp.float32):
    """Return the text of the program that a compiler would get."""
    network, x, y = jax.tree.map(lambda v: v.astype(dtype), problem(config, 4))

    def gradients(network, x, y):
        return rule.gradients(network, x, y, 1.0, jax.random.key(0))

    return jax.jit(gradients).lower(network, x, y).as_text()


@pytest.mark.parametrize(
    "rule",
    [pccore.PredictiveCoding(pccore.GradientDescent(2)), pccore.Backpropagation()],
    ids=["inference", "backpropagation"],
)
def test_native_call_is_named_with_its_version(rule):
    assert rule.path(CONFIG) == f"native {native.instructions()}"
    assert native.TARGET in program(rule, CONFIG)
    assert native.TARGET.endswith(f"_v{native.VERSION}")


def test_variable_chooses_xla(monkeypatch):
    monkeypatch.setenv(native.VARIABLE, "0")
    rule = pccore.PredictiveCoding(pccore.GradientDescent(2))
    assert rule.path(CONFIG) == native.XLA
    assert native.TARGET not in program(rule, CONFIG)
    assert native.reason() == "MUPC_NATIVE is 0"


def test_double_precision_takes_xla():
    with jax.enable_x64(True):
        rule = pccore.PredictiveCoding(pccore.GradientDescent(2))
        assert native.TARGET not in program(rule, CONFIG, jnp.float64)


def test_library_of_another_version_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    assert native._load() is None
    torn = tmp_path / "_stack.so"
    torn.write_bytes(b"torn")
    monkeypatch.setattr(native, "_paths", lambda: [torn])
    assert native._load() is None


def test_backpropagation_is_that_of_xla_on_several_tiles_and_lanes(monkeypatch):
    given = problem(replace(CONFIG, width=40, depth=30, activation="relu"), 130)
    found, expected = learn(None, *given, 1.0), by_xla(monkeypatch, None, *given, 1.0)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), found, expected)


def test_it_is_differentiated_in_the_form_of_xla(monkeypatch):
    scheme = pccore.GradientDescent(3)
    network, x, y = problem(replace(CONFIG, bias=False), 4)
    rule = pccore.PredictiveCoding(scheme)

    def size(beta):
        _, gradients = rule.gradients(network, x, y, beta, jax.random.key(0))
        return jnp.sum(gradients.hidden**2)

    found = jax.jit(jax.grad(size))(1.0)
    monkeypatch.setenv(native.VARIABLE, "0")
    jax.clear_caches()
    assert found == pytest.approx(float(jax.jit(jax.grad(size))(1.0)), rel=1e-5)


def test_training_is_that_of_xla(monkeypatch):
    data = pccore.data.load("digits")
    network = pccore.NetworkConfig(64, 10, width=16, depth=4, activation="tanh")
    rule = pccore.PredictiveCoding(pccore.GradientDescent(4))
    config = pccore.TrainingConfig(network, rule, steps=20, eval_every=20)
    lanes = [pccore.Lane(0.01, 10.0, seed) for seed in range(2)]
    found = pccore.fit_many(config, data, lanes)
    monkeypatch.setenv(native.VARIABLE, "0")
    jax.clear_caches()
    for one, other in zip(found, pccore.fit_many(config, data, lanes), strict=True):
        assert one.final_train_loss == pytest.approx(other.final_train_loss, rel=1e-3)


def test_diverged_lane_is_named():
    data = pccore.data.load("digits")
    network = pccore.NetworkConfig(64, 10, width=8, depth=3, activation="relu")
    rule = pccore.PredictiveCoding(pccore.GradientDescent(30))
    config = pccore.TrainingConfig(network, rule, steps=20, eval_every=20)
    outcome = pccore.fit(config, data, pccore.Lane(1.0, 1e6, seed=0))
    assert outcome.status is pccore.Status.DIVERGED

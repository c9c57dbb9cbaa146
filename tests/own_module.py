"""Things as users write them, which tests copy beside a spec under other names."""

from dataclasses import dataclass
from itertools import pairwise

import equinox as eqx
import jax
import optax

import pccore

BETA = 1.5


def swish(z):
    return z * jax.nn.sigmoid(BETA * z)


def layers(width, depth, key, input_size, output_size, activation, gain: float = 1.0):
    """Linear layers, each after the activation, with skip connections over two of them."""
    sizes = [input_size, *[width] * depth, output_size]
    keys = jax.random.split(key, depth + 1)
    linear = [eqx.nn.Linear(*pair, key=k) for pair, k in zip(pairwise(sizes), keys, strict=True)]
    first, *rest = linear
    phi = eqx.nn.Lambda(lambda z: gain * activation(z))
    above = [eqx.nn.Sequential([phi, each]) for each in rest]
    skips = [layer if n < 1 else pccore.Skip(layer, 2) for n, layer in enumerate(above[:-1])]
    return [first, *skips, above[-1]]


def module(width, depth, key, input_size, output_size):
    return eqx.nn.MLP(input_size, output_size, width, depth, key=key)


@dataclass(frozen=True)
class Halves(pccore.InferenceScheme):
    """Two descents of half the steps each, which is one descent."""

    steps: int = 4

    @property
    def step_limit(self):
        return self.steps

    def infer(self, relaxation, activity_lr, departure=None, observe=None):
        half = pccore.GradientDescent(self.steps // 2)
        first = half.infer(relaxation, activity_lr, departure)
        return half.infer(relaxation, activity_lr, first.departure)


@dataclass(frozen=True)
class Away(pccore.Start):
    """A forward pass plus a constant."""

    distance: float = 0.1

    def departure(self, relaxation, key):
        return jax.tree.map(lambda d: d + self.distance, relaxation.origin())


@dataclass(frozen=True)
class Smallness(pccore.Penalty):
    """strength times the sum of the absolute weights."""

    strength: float

    def __call__(self, network):
        return self.strength * sum(abs(W).sum() for W in jax.tree.leaves(network))


@dataclass(frozen=True)
class SignOfBackpropagation(pccore.LearningRule):
    """The signs of backpropagation's gradients."""

    def gradients(self, network, x, y, activity_lr, key):
        loss, gradients = pccore.Backpropagation().gradients(network, x, y, activity_lr, key)
        return loss, jax.tree.map(jax.numpy.sign, gradients)


def clipped_lion(learning_rate, b1=0.9, max_norm=1.0):
    return optax.chain(optax.clip_by_global_norm(max_norm), optax.lion(learning_rate, b1=b1))


@dataclass(frozen=True)
class Doubled(pccore.Optimiser):
    """SGD with twice the rate."""

    like = "sgd"
    factor: float = 2.0

    def transformation(self):
        return optax.scale(self.factor)


@dataclass(frozen=True)
class Halved:
    """muPC with half the scalings of hidden layers."""

    def scalings(self, network):
        whole = pccore.PARAMETERISATIONS["mupc"].scalings(network)
        return pccore.Scalings(whole.first, whole.hidden / 2, whole.last)

    def noise(self, key, shape):
        return jax.random.normal(key, shape)

    def initial(self, noise, network):
        return noise

    def variance(self, fan_in):
        return 1.0


def quasi_random():
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=3)

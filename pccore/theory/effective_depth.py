"""How many weight matrices of a deep network learn: a prediction, and the reset test.

Inference starts at a forward pass, where only the output has an error, and passes errors on by one
layer per step. After T steps of descent of rate r = beta/B the error of the k-th layer below the
output is of order r^k C(T, k). Adam's eps suppresses the gradient of layers where this is tiny, so
that they keep their initial weights, whatever the accuracy.

The errors of a random network follow a recursion that does not contain its weights. Let J_l be the
Jacobian of layer l, q_l its residual, lambda_l its multiplier (zero, except in
`AugmentedLagrangian`) and e_l = p_l (q_l + lambda_l). A step of descent changes activities and
residuals by

    dz_l = r (J_{l+1}^T e_{l+1} - e_l),    dq_l = dz_l - J_l dz_{l-1}

In wide networks with independent weights J_l J_l^T is about g_l times the identity, with
g_l = tau + a_l^2 b_l N E phi'^2. Therefore e_l = s_l J_{l+1}^T .. J_L^T (y - f), where the numbers
s_l obey the same equations with J_l^T = 1 and J_l = g_l. In muPC networks with skips g is
1 + O(1/L), and s_l is a discrete heat equation with its source at the output. Far ahead of its
front it is the binomial above.
"""

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pccore.activations import ACTIVATIONS
from pccore.inference import (
    AugmentedLagrangian,
    ErrorBased,
    ExactSolution,
    GaussNewton,
    GradientDescent,
    InferenceScheme,
    Nesterov,
)
from pccore.networks.base import AbstractNetwork
from pccore.networks.stack import Biases
from pccore.networks.stacked import Network, NetworkConfig
from pccore.optimisers import Adam
from pccore.parameterisations import PARAMETERISATIONS
from pccore.rules import Backpropagation, LearningRule, PredictiveCoding
from pccore.starts import ForwardStart
from pccore.training.config import TrainingConfig
from pccore.training.outcomes import LEARNED

Layers = Float[np.ndarray, " L"]
"""A number for each of W_1 .. W_L."""

AMPLIFIED = 10.0
"""The s_l above which inference blows up. Stable schemes keep it below 2 (docs/theory.md)."""

PASSED_ON = {"linear": 1.0, "relu": 0.5}
"""E phi'^2, and E phi^2 / E z^2, of a symmetric z. Other activations are taken for ReLU, which
matters little where skips pass most of the error on."""


def predicted_changes(
    config: TrainingConfig, weight_lr: float, activity_lr: float | None
) -> Layers | None:
    """Predict `Outcome.layer_changes`, the relative RMS change of every weight matrix.

    At the first update the RMS gradient is G_l = a_l RMS(e_l) RMS(phi(z_{l-1})) / sqrt(B), with the
    errors of the module's docstring. The n updates of Adam are a random walk:

        eta sqrt(n / b_l) G_l / (G_l + eps)

    This assumes wide layers, inputs of variance 1, targets of norm 1 (one-hot labels), independent
    gradients of different samples, and gradients that stay as large as before the first update.
    Momentum of `Nesterov` is never restarted. Backpropagation, and schemes that solve for the
    equilibrium, pass the whole error on to every layer.

    Args:
        config: the training.
        weight_lr: eta.
        activity_lr: beta; None for rules that do not use it, and if it is set from the spectrum,
            of which the largest eigenvalue is then taken from the recursion (4 in deep muPC
            networks with skips; measured 4.2 to 4.9).

    Returns:
        NaN if inference blows up. None where no prediction is known: other networks, rules, schemes
        or starts; activations of users; other optimisers, whose gradients grow with training (SGD),
        clipping and schedules; penalties, activity decay, skips over several layers; dependent
        weights, or weights of an `initial_std` or `initial_range`; the order "weights_first"; plain
        networks whose activation is neither linear nor ReLU.
    """
    network, optimiser = config.network, config.optimiser
    if not isinstance(network, NetworkConfig) or not isinstance(optimiser, Adam):
        return None
    if optimiser.clip is not None or optimiser.schedule is not None:
        return None
    if config.penalties or not _is_covered(network):
        return None
    sizes = _Sizes.of(network)
    rate = math.nan if activity_lr is None else activity_lr / config.batch_size
    if config.activity_lr is not None:
        rate = config.activity_lr.scale / _largest_curvature(config.rule, sizes)
    with np.errstate(over="ignore", invalid="ignore"):
        reached = _reached(config.rule, sizes, rate)
        if reached is None:
            return None
        if not np.max(np.abs(reached)) < AMPLIFIED:
            return np.full(network.depth + 1, np.nan)
        gradients = np.abs(reached) * sizes.gradients / math.sqrt(config.batch_size)
        walk = weight_lr * np.sqrt(config.steps / sizes.variances)
        return np.asarray(walk * gradients / (gradients + optimiser.eps))


def predicted_layers(
    config: TrainingConfig, weight_lr: float, activity_lr: float | None
) -> int | None:
    """Predict `Outcome.layers_learned`, the number of weight matrices that learn.

    Takes the arguments of `predicted_changes`. Returns None where that is None or NaN.
    """
    changes = predicted_changes(config, weight_lr, activity_lr)
    return None if changes is None or np.isnan(changes).any() else int((changes > LEARNED).sum())


def reset_unlearned(
    network: AbstractNetwork,
    initial: AbstractNetwork,
    changes: Layers,
    threshold: float = LEARNED,
) -> Network:
    """Return the network with the layers that did not learn set back to their initial weights.

    The reset test compares its accuracy with that of the trained network. If they agree, the layers
    that learned account for the accuracy and their number is the effective depth.

    Args:
        network: the trained network.
        initial: the network before training, `config.network.build(jax.random.key(seed))`.
        changes: relative changes of the weight matrices, `Outcome.layer_changes`.
        threshold: a layer learned if its change exceeds this. Biases belong to their layer.

    Raises:
        ValueError: the networks are not stacked, or there is not one change per layer.
    """
    if not isinstance(network, Network) or not isinstance(initial, Network):
        kinds = f"{type(network).__name__} and {type(initial).__name__}"
        raise ValueError(f"layers can be reset in two networks of class Network, got {kinds}")
    if np.shape(changes) != (network.config.depth + 1,):
        raise ValueError(
            f"changes must be one per layer, {network.config.depth + 1}, got the shape "
            f"{np.shape(changes)}"
        )
    keep = jnp.asarray(changes) > threshold

    def choose(keep: Array, now: Array, before: Array) -> Array:
        return jnp.where(keep.reshape(keep.shape + (1,) * (now.ndim - keep.ndim)), now, before)

    biases = network.biases
    if biases is not None and initial.biases is not None:
        biases = Biases(
            choose(keep[:-1], biases.hidden, initial.biases.hidden),
            choose(keep[-1], biases.last, initial.biases.last),
        )
    return replace(
        network,
        first=choose(keep[0], network.first, initial.first),
        hidden=choose(keep[1:-1], network.hidden, initial.hidden),
        last=choose(keep[-1], network.last, initial.last),
        biases=biases,
    )


def _is_covered(network: NetworkConfig) -> bool:
    return (
        not network.activity_decay
        and network.stride == 1
        and network.in_waves
        and network.initial_range is network.initial_std is None
        and PARAMETERISATIONS[network.parameterisation].variance(network.width) is not None
        and network.activation in ACTIVATIONS
        and (network.residual or network.activation in PASSED_ON)
    )


@dataclass(frozen=True)
class _Sizes:
    """Mean squares at initialisation, for each of W_1 .. W_L.

    Attributes:
        variances: b_l.
        gains: g_l; 0 for the first layer, whose input is clamped.
        precisions: p_l.
        gradients: RMS gradient of a sample if s_l = 1.
    """

    variances: Layers
    gains: Layers
    precisions: Layers
    gradients: Layers

    @staticmethod
    def of(network: NetworkConfig) -> "_Sizes":
        D, N, K, H = network.input_size, network.width, network.output_size, network.depth
        scalings, draw = network.scalings, PARAMETERISATIONS[network.parameterisation].variance
        a = np.array([scalings.first, *[scalings.hidden] * (H - 1), scalings.last])
        b = np.array([draw(D), *[draw(N)] * H], float)
        passed_on = PASSED_ON.get(network.activation, PASSED_ON["relu"])
        gains = passed_on * a**2 * b * N
        gains[0] = 0
        gains[1:-1] += network.residual
        activities = D * a[0] ** 2 * b[0] * np.cumprod([1, *gains[1:]])  # of z_1 .. z_H, and of f_L
        below = np.array([1, *(passed_on * activities[:-1])])
        loss = 1 + K * activities[-1] if network.output == "mse" else 1
        errors = loss * np.cumprod([1, *gains[:0:-1]])[::-1] / np.array([*[N] * H, K])
        p = np.array(network.precisions or [1.0] * (H + 1))
        return _Sizes(b, gains, p, a * np.sqrt(errors * below))


def _reached(rule: LearningRule, sizes: _Sizes, rate: float) -> Layers | None:
    """Return s_l, the share of the output error that reaches each layer."""
    everywhere = np.ones(len(sizes.gains))
    if isinstance(rule, Backpropagation):
        return everywhere
    if not isinstance(rule, PredictiveCoding) or not isinstance(rule.start, ForwardStart):
        return None
    scheme = rule.inference
    if isinstance(scheme, GaussNewton | ExactSolution):
        return everywhere
    if isinstance(scheme, ErrorBased):
        return everywhere * (1 - np.float64(1 - rate) ** scheme.steps)
    return _inferred(scheme, sizes, rate)


def _changes(sizes: _Sizes, errors: Layers) -> Layers:
    """Return dq_l / r of a step of descent."""
    moves = np.diff(errors)
    return np.append(moves, 0) - sizes.gains * np.append(0, moves)


def _largest_curvature(rule: LearningRule, sizes: _Sizes) -> float:
    """Return lambda_max of the energy that inference descends, in the recursion."""
    if isinstance(rule, PredictiveCoding) and isinstance(rule.inference, ErrorBased):
        return 1.0
    columns = [_changes(sizes, unit * sizes.precisions) for unit in np.eye(len(sizes.gains))]
    return float(np.abs(np.linalg.eigvals(np.array(columns))).max())


def _inferred(scheme: InferenceScheme, sizes: _Sizes, rate: float) -> Layers | None:
    """Return s_l after all steps of a scheme that takes gradient steps."""
    p = sizes.precisions

    def descended(residuals: Layers, multipliers: Layers | float = 0.0) -> Layers:
        return residuals + rate * _changes(sizes, p * (residuals + multipliers))

    residuals = np.zeros(len(p))
    residuals[-1] = 1
    multipliers = np.zeros(len(p))
    match scheme:
        case GradientDescent():
            for _ in range(scheme.steps):
                residuals = descended(residuals)
        case Nesterov():
            ahead, t = residuals, 1.0
            for _ in range(scheme.steps):
                before, residuals = residuals, descended(ahead)
                faster = 0.5 * (1 + math.sqrt(1 + 4 * t**2))
                ahead, t = residuals + (t - 1) / faster * (residuals - before), faster
        case AugmentedLagrangian():
            for _ in range(scheme.steps):
                multipliers[:-1] += residuals[:-1]
                residuals = descended(residuals, multipliers)
        case _:
            return None
    return p * (residuals + multipliers)

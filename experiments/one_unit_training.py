"""Training of the network with one hidden unit, f(x) = w_2 w_1 x, for chapter 3's recipes.

y = -x with x ~ N(1, 0.1^2), SGD at eta = 0.2 with B = 64, and for predictive coding 20 steps of
inference at 0.1 of the per-sample gradient, from a forward pass (thesis A.1.1).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pccore
from experiments.recipe import Row
from pccore.theory.chains import LinearChain

if TYPE_CHECKING:
    import jax
    import numpy as np
    import pandas as pd

    from pccore import LearningRule

    Step = tuple[jax.Array, jax.Array, jax.Array]  # weights, gradients, test loss

CONFIG = pccore.NetworkConfig(1, 1, 1, 1, "linear", residual=False, parameterisation="sp")
BATCH = 64
WEIGHT_LR = 0.2
SAMPLE_RATE = 0.1
INFERENCE_STEPS = 20
SLOPE = -1.0
SOLVED = 1e-3
"""The test loss at which training stops."""

RULES: "Mapping[str, LearningRule]" = {
    "pc": pccore.PredictiveCoding(pccore.GradientDescent(INFERENCE_STEPS)),
    "bp": pccore.Backpropagation(),
    "trn": pccore.TrustRegionNewton(2.0),
}


class Trajectories(NamedTuple):
    """Trainings from several seeds, one entry per step from the initial weights on.

    Attributes:
        weights: w_1, w_2.
        gradients: gradients that the rule descended, on the batch of that step.
        test_loss: loss on the test set.
    """

    weights: "np.ndarray"  # seeds, steps, 2
    gradients: "np.ndarray"
    test_loss: "np.ndarray"

    def first_below(self, levels: "np.ndarray | float") -> "np.ndarray":
        """Return each seed's first step at which the test loss is below a level; NaN if never."""
        import numpy as np

        below = self.test_loss < np.broadcast_to(levels, self.test_loss[:, :1].shape)
        return np.where(below.any(axis=1), below.argmax(axis=1), np.nan)


def toy() -> pccore.data.Dataset:
    """Return the regression data."""
    return pccore.data.load("toy_mirror")


def chain(precisions: tuple[float, ...] = ()) -> LinearChain:
    """Return both landscapes of the whole training set."""
    import jax.numpy as jnp

    data = toy()
    x, y = (jnp.asarray(part[:, 0], float) for part in (data.train_x, data.train_y))
    return LinearChain.of(x, y, precisions)


def network(w: "jax.Array", precisions: tuple[float, ...] = ()) -> pccore.Network:
    """Return f with the weights w."""
    import jax.numpy as jnp

    first, last = (weight.reshape(1, 1) for weight in w)
    config = replace(CONFIG, precisions=precisions)
    return pccore.Network(first, jnp.zeros((0, 1, 1), first.dtype), last, None, config)


def pair(network: pccore.Network) -> "jax.Array":
    """Return w_1 and w_2 of a network, or the gradients by them."""
    import jax.numpy as jnp

    return jnp.stack([network.first[0, 0], network.last[0, 0]])


def train(
    rule: "LearningRule",
    seeds: int,
    steps: int,
    *,
    weight_lr: float = WEIGHT_LR,
    initial_std: float | None = None,
) -> Trajectories:
    """Descend from U(-1, 1), or from N(0, `initial_std`^2); batches are drawn with replacement."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    config = replace(CONFIG, initial_std=initial_std)
    data = toy()
    train_x, train_y, test_x, test_y = (
        jnp.asarray(part) for part in (data.train_x, data.train_y, data.test_x, data.test_y)
    )

    def descend(seed: "jax.Array") -> "Step":
        key = jax.random.key(seed)

        def step(network: pccore.Network, t: "jax.Array") -> "tuple[pccore.Network, Step]":
            key_t = jax.random.fold_in(jax.random.fold_in(key, 1), t)
            index = jax.random.randint(key_t, (BATCH,), 0, len(train_x))
            x, y = train_x[index], train_y[index]
            rate = jnp.asarray(SAMPLE_RATE * BATCH, x.dtype)
            _, slopes = rule.gradients(network, x, y, rate, key_t)
            loss = 0.5 * jnp.mean((test_y - network.predict(test_x)) ** 2)
            after = jax.tree.map(lambda w, g: w - weight_lr * g, network, slopes)
            return after, (pair(network), pair(slopes), loss)

        return jax.lax.scan(step, config.build(key), jnp.arange(steps))[1]

    found = jax.jit(jax.vmap(descend))(jnp.arange(seeds))
    return Trajectories(*map(np.asarray, found))


def row(
    quantity: str,
    value: "float | jax.Array | np.ndarray",
    settings: Mapping[str, object],
    **columns: object,
) -> Row:
    """Return a measurement identified by `settings`."""
    text = json.dumps(settings, sort_keys=True) if settings else None
    return {"quantity": quantity, "value": float(value), "settings": text, **columns}


def unfolded(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return measurements with a column for each of their settings."""
    import pandas as pd

    own = pd.DataFrame([json.loads(text) for text in frame["settings"]], index=frame.index)
    return pd.concat([frame, own], axis=1)


def grid(points: int, reach: float) -> "tuple[np.ndarray, np.ndarray]":
    """Return points (w_1, w_2) of a square map around the origin, and the values on an axis."""
    import numpy as np

    axis = np.linspace(-reach, reach, points)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), axis


def map_rows(
    quantity: str, places: Iterable[Any], values: Iterable[Any], **columns: object
) -> list[Row]:
    """Return a row of a quantity at each point."""
    return [
        row(quantity, value, {"x": float(place[0]), "y": float(place[1])}, **columns)
        for place, value in zip(places, values, strict=True)
    ]

"""The peer libraries, when they can be imported; only this module uses them.

python benchmarks/peer.py HxN prints the seconds from the start of the process to its first step.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from measure import BATCH, INPUTS, OUTPUTS, Shape, cap_threads, shapes

STARTED = "MUPC_BENCH_STARTED"  # time.monotonic() of the parent when it started this process


def jpc_step(shape: Shape, activation: str = "relu") -> Callable[[], None]:
    """Return a training step as in JPC's own muPC experiments."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jpc
    import optax

    params = model, _ = jpc_model(shape, activation)
    activity_optim, param_optim = optax.sgd(1.0), optax.adam(0.01)
    param_state = param_optim.init((eqx.filter(model, eqx.is_array), params[1]))
    x = jax.random.normal(jax.random.key(1), (BATCH, INPUTS))
    y = jax.nn.one_hot(jnp.arange(BATCH) % OUTPUTS, OUTPUTS)
    shared = {"params": params, "output": y, "input": x, "loss_id": "mse", "param_type": "mupc"}

    def step() -> None:
        z = jpc.init_activities_with_ffwd(
            model=model, input=x, skip_model=params[1], param_type="mupc"
        )
        state = activity_optim.init(z)
        for _ in range(shape[0]):
            update = jpc.update_pc_activities(
                activities=z, optim=activity_optim, opt_state=state, **shared
            )
            z, state = update["activities"], update["opt_state"]
        result = jpc.update_pc_params(
            activities=z, optim=param_optim, opt_state=param_state, **shared
        )
        jax.block_until_ready(eqx.filter(result["model"], eqx.is_array))

    return step


def jpc_model(shape: Shape, activation: str) -> tuple[Any, Any]:
    """Return JPC's network and skip connections."""
    import jax
    import jpc

    depth, width = shape
    model = jpc.make_mlp(
        key=jax.random.key(0),
        input_dim=INPUTS,
        width=width,
        depth=depth + 1,
        output_dim=OUTPUTS,
        act_fn=activation,
        use_bias=False,
        param_type="mupc",
    )
    return model, jpc.make_skip_model(depth + 1)


def jpc_timed(shape: Shape, activation: str = "relu") -> Callable[[], float]:
    """Return a function that steps for about a fifth of a second and returns seconds per step."""
    step = jpc_step(shape, activation)
    step()
    start = time.perf_counter()
    step()
    count = max(1, min(20, int(0.2 / (time.perf_counter() - start))))

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - start) / count

    return timed


def first_step(shape: Shape) -> dict[str, float]:
    """Return the seconds from the start of this process to its imports and its first step."""
    start = float(os.environ[STARTED])
    import jpc  # noqa: F401

    imports = time.monotonic() - start
    jpc_step(shape)()
    return {"imports": imports, "first step": time.monotonic() - start}


if __name__ == "__main__":
    cap_threads(1)
    print(json.dumps(first_step(shapes(sys.argv[1])[0])))

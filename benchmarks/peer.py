"""Training steps of peer libraries. It runs in the peer's environment, where nothing of ours is.

    PYTHON benchmarks/peer.py {jpc,fabricpc} HxN [--activation tanh] [--seconds 0.2 | --first-step]

PYTHON has the peer: our benchmarks start it by `--peer NAME --peer-python PYTHON`. A step is
forward pass, T = H inference steps and Adam on MNIST's sizes, B = 64, as the peer's own examples
write it: JPC calls its compiled functions one by one, FabricPC compiles the whole step.
--first-step prints the seconds from the start of the process to its first step.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from measure import BATCH, INPUTS, OUTPUTS, Shape, cap_threads, label, shapes
from served import Server, repeated, serve

STARTED = "MUPC_BENCH_STARTED"  # time.monotonic() of the parent when it started this process
Step = Callable[[], None]


def command(options: argparse.Namespace, shape: Shape, *more: str) -> list[str]:
    """Return the command that starts the peer of the options."""
    return [options.peer_python, __file__, options.peer, label(shape), *more]


@contextmanager
def timed(
    options: argparse.Namespace, shape: Shape, cores: list[int]
) -> Iterator[Callable[[], float]]:
    """Give a function that lets the peer of the options step for a while: seconds per step."""
    with Server(command(options, shape, "--activation", options.activation), cores) as server:
        server.wait_until_ready()

        def seconds() -> float:
            server.go()
            stretch = server.answer()
            spent = stretch.processor if options.clock == "processor" else stretch.wall
            return spent / stretch.steps

        yield seconds


def main() -> None:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("name", choices=STEPS)
    found.add_argument("shapes", type=shapes, metavar="HxN")
    found.add_argument("--activation", default="relu")
    found.add_argument("--seconds", type=float, default=0.2, help="of a stretch (default 0.2)")
    found.add_argument("--first-step", action="store_true")
    options = found.parse_args()
    (shape,) = options.shapes
    cap_threads(1)
    if options.first_step:
        print(json.dumps(first_step(options.name, shape)))
    else:
        serve(repeated(STEPS[options.name](shape, options.activation), options.seconds))


def first_step(name: str, shape: Shape) -> dict[str, float]:
    """Return the seconds from the start of this process to its imports and its first step."""
    start = float(os.environ[STARTED])
    __import__(name)
    imports = time.monotonic() - start
    STEPS[name](shape, "relu")()
    return {"imports": imports, "first step": time.monotonic() - start}


def jpc_step(shape: Shape, activation: str) -> Step:
    """Return a training step as in JPC's own muPC experiments."""
    import equinox as eqx
    import jax
    import jpc
    import optax

    params = model, _ = jpc_model(shape, activation)
    activity_optim, param_optim = optax.sgd(1.0), optax.adam(0.01)
    param_state = param_optim.init((eqx.filter(model, eqx.is_array), params[1]))
    x, y = batch()
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


def fabricpc_step(shape: Shape, activation: str) -> Step:
    """Return FabricPC's training step of a residual network, compiled whole."""
    import jax
    import optax
    from fabricpc.graph_initialization import initialize_params
    from fabricpc.training.train import train_step

    structure = fabricpc_network(shape, activation)
    optimiser = optax.adam(0.01)
    params = initialize_params(structure, jax.random.PRNGKey(0))
    state, key = optimiser.init(params), jax.random.PRNGKey(1)
    x, y = batch()

    @jax.jit
    def train(params: Any, state: Any, x: Any, y: Any) -> Any:
        return train_step(params, state, {"x": x, "y": y}, structure, optimiser, key)[:3]

    return lambda: jax.block_until_ready(train(params, state, x, y))


def fabricpc_network(shape: Shape, activation: str) -> Any:
    """Return FabricPC's graph: W_1, H - 1 residual layers, the output."""
    from fabricpc.core import activations
    from fabricpc.core.inference import InferenceSGD
    from fabricpc.core.initializers import MuPCInitializer
    from fabricpc.core.mupc import MuPCConfig
    from fabricpc.core.topology import Edge
    from fabricpc.graph_assembly import TaskMap, graph
    from fabricpc.nodes import IdentityNode, Linear, LinearResidual

    depth, width = shape
    phi = {"tanh": activations.TanhActivation, "relu": activations.ReLUActivation}[activation]()
    drawn: dict[str, Any] = {"weight_init": MuPCInitializer(), "use_bias": False}
    nodes: list[Any] = [
        IdentityNode(shape=(INPUTS,), name="input"),
        Linear(shape=(width,), name="layer1", **drawn),
    ]
    edges = [Edge(source=nodes[0], target=nodes[1].slot("in"))]
    for layer in range(2, depth + 1):
        below = nodes[-1]
        nodes.append(LinearResidual(shape=(width,), name=f"layer{layer}", activation=phi, **drawn))
        edges += [Edge(source=below, target=nodes[-1].slot(slot)) for slot in ("in", "skip")]
    nodes.append(Linear(shape=(OUTPUTS,), name="output", **drawn))
    edges.append(Edge(source=nodes[-2], target=nodes[-1].slot("in")))
    return graph(
        nodes=nodes,
        edges=edges,
        task_map=TaskMap(x=nodes[0], y=nodes[-1]),
        inference=InferenceSGD(eta_infer=0.1, infer_steps=depth),
        scaling=MuPCConfig(include_output=True),
    )


def batch() -> tuple[Any, Any]:
    """Return random inputs and one-hot targets."""
    import jax
    import jax.numpy as jnp

    x = jax.random.normal(jax.random.key(1), (BATCH, INPUTS))
    return x, jax.nn.one_hot(jnp.arange(BATCH) % OUTPUTS, OUTPUTS)


STEPS = {"jpc": jpc_step, "fabricpc": fabricpc_step}

if __name__ == "__main__":
    main()

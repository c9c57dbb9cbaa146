"""Time of a training step, as a share of what this machine's matrix multiplication can do.

    python benchmarks/step_time.py [--shapes 8x64,8x128,...] [--threads 1] [--peer jpc]

Columns: milliseconds per step (one forward pass, T = H gradient steps on all activities, one Adam
update; MNIST's sizes, B = 64); the naive arithmetic rate, which counts every layer in every step,
as a share of the peak; and how many times faster it is than the same step by automatic
differentiation of the general energy, and than the peer library's (each where it compiles in
reasonable time). Everything is measured in one process, in turns; believe the ratios, not the
milliseconds.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pccore

FAST = "8x64,8x128,32x128"
ALL = "8x64,8x128,32x128,128x64,128x128,128x512"
BATCH, INPUTS, OUTPUTS = 64, 784, 10
DEEPEST_REFERENCE = 32  # deeper, the unrolled reference takes minutes to compile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default=FAST, help=f"HxN,... (default {FAST}; all: {ALL})")
    parser.add_argument("--threads", type=int, default=1, help="threads of arithmetic (default 1)")
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer", choices=["jpc"], help="a peer library, if it can be imported")
    options = parser.parse_args()
    # XLA's own thread flags do not cap JAX 0.10 (docs/log.md); this does.
    os.environ["PJRT_NPROC"] = str(options.threads)
    peak = best_time_per_flop(options.repeats)
    print(f"matrix-multiply peak: {1 / peak / 1e9:.0f} GFLOP/s, {options.threads} thread(s)")
    print("| H x N | ms/step | naive rate / peak | AD reference / ours | peer / ours |")
    print("|---|---|---|---|---|")
    for shape in options.shapes.split(","):
        depth, width = map(int, shape.split("x"))
        print(row(depth, width, peak, options), flush=True)


def row(depth: int, width: int, peak: float, options: argparse.Namespace) -> str:
    """One line of the table."""
    import pccore

    network = pccore.NetworkConfig(INPUTS, OUTPUTS, width, depth, options.activation)
    candidates = {"ours": ours(network)}
    if depth <= DEEPEST_REFERENCE:
        candidates["reference"] = reference(network)
        if options.peer:
            candidates["peer"] = jpc_step(network)
    times = in_turns(candidates, options.repeats)
    rate = naive_flops(network) * peak / times["ours"]
    ratios = (
        f"{times[name] / times['ours']:.1f}" if name in times else "-"
        for name in ("reference", "peer")
    )
    cells = (f"{depth} x {width}", f"{1e3 * times['ours']:.2f}", f"{rate:.0%}", *ratios)
    return f"| {' | '.join(cells)} |"


def naive_flops(network: "pccore.NetworkConfig") -> float:
    """Floating-point operations of a step when no layer is ever skipped (T = H)."""
    hidden = (network.depth - 1) * network.width**2 + OUTPUTS * network.width
    weights = hidden + INPUTS * network.width
    forward, inference, learning = 2 * weights, network.depth * 4 * hidden, 2 * hidden + 2 * weights
    return BATCH * (forward + inference + learning)


def ours(network: "pccore.NetworkConfig") -> Callable[[], float]:
    """A training step by the stacked closed forms."""
    import jax.numpy as jnp

    import pccore

    rule = pccore.PredictiveCoding(pccore.GradientDescent(network.depth))
    return stepper(
        network, lambda net, x, y: rule.gradients(net, x, y, jnp.asarray(1.0), jax.random.key(0))[1]
    )


def reference(network: "pccore.NetworkConfig") -> Callable[[], float]:
    """A training step by automatic differentiation of the general energy."""
    import jax

    import pccore

    def energy(net: pccore.Network, z: list, x: object, y: object) -> object:
        return pccore.energy(net.layers(), z, x, y)

    def gradients(net: pccore.Network, x: object, y: object) -> pccore.Network:
        def descend(_: int, z: list) -> list:
            slopes = jax.grad(energy, argnums=1)(net, z, x, y)
            return jax.tree.map(lambda a, g: a - 1.0 * g, z, slopes)

        z = jax.lax.fori_loop(0, network.depth, descend, list(net.forward(x)))
        return jax.grad(energy)(net, z, x, y)

    return stepper(network, gradients)


def jpc_step(network: "pccore.NetworkConfig") -> Callable[[], float]:
    """A training step as JPC's own muPC experiments take it."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jpc
    import optax

    L = network.depth + 1
    model = jpc.make_mlp(
        key=jax.random.key(0),
        input_dim=INPUTS,
        width=network.width,
        depth=L,
        output_dim=OUTPUTS,
        act_fn=network.activation,
        use_bias=False,
        param_type="mupc",
    )
    params = model, jpc.make_skip_model(L)
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
        for _ in range(network.depth):
            update = jpc.update_pc_activities(
                activities=z, optim=activity_optim, opt_state=state, **shared
            )
            z, state = update["activities"], update["opt_state"]
        result = jpc.update_pc_params(
            activities=z, optim=param_optim, opt_state=param_state, **shared
        )
        jax.block_until_ready(eqx.filter(result["model"], eqx.is_array))

    step()

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(5):
            step()
        return (time.perf_counter() - start) / 5

    return timed


def stepper(network: "pccore.NetworkConfig", gradients: Callable) -> Callable[[], float]:
    """A function that takes ten training steps in one compiled loop and waits for them."""
    import jax
    import jax.numpy as jnp

    import pccore

    net = pccore.Network.create(network, jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (BATCH, INPUTS))
    y = jax.nn.one_hot(jnp.arange(BATCH) % OUTPUTS, OUTPUTS)
    adam = pccore.Adam().transformation()
    count = 10

    @jax.jit
    def run(net: pccore.Network, state: object) -> object:
        def step(_: int, carry: tuple) -> tuple:
            net, state = carry
            direction, state = adam.update(gradients(net, x, y), state)
            return jax.tree.map(lambda w, d: w - 0.01 * d, net, direction), state

        return jax.lax.fori_loop(0, count, step, (net, state))

    state = adam.init(net)
    jax.block_until_ready(run(net, state))

    def timed() -> float:
        start = time.perf_counter()
        jax.block_until_ready(run(net, state))
        return (time.perf_counter() - start) / count

    return timed


def in_turns(candidates: dict[str, Callable], repeats: int) -> dict[str, float]:
    """The best time of each candidate, measured in turns so that they share the machine's moods."""
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(repeats):
        for name, timed in candidates.items():
            best[name] = min(best[name], timed())
    return best


def best_time_per_flop(repeats: int) -> float:
    """Seconds per floating-point operation of the fastest square matrix multiplication."""
    import jax
    import jax.numpy as jnp

    best = float("inf")
    for size in (256, 512, 1024, 2048):
        a = jnp.ones((size, size))
        multiply = jax.jit(jnp.matmul)
        multiply(a, a).block_until_ready()
        for _ in range(3 * repeats):
            start = time.perf_counter()
            multiply(a, a).block_until_ready()
            best = min(best, (time.perf_counter() - start) / (2 * size**3))
    return best


if __name__ == "__main__":
    main()

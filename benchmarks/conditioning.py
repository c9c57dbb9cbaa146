"""Condition number of the activity Hessian at initialisation, by width and depth.

    python benchmarks/conditioning.py [--shapes 2x2,2x8,...] [--solvers]

Linear networks with MNIST's sizes, one seed, float32: the phase diagrams of figures 5.2, 5.4 and
C.22, beyond the 128 x 128 at which the documents' dense matrices end. "Seconds" is the second run
of the compiled program, "process" the largest resident size of a fresh process by shape, JAX and
compilation included. `--solvers` measures the exact activities of a batch instead, per solver.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import BATCH, INPUTS, OUTPUTS, Shape, cap_threads, label, parser, shapes
from memory import resident_peak
from report import Report

NETWORKS = {
    "SP": ("sp", False),
    "µPC": ("mupc", False),
    "orthogonal": ("orthogonal", False),
    "SP, skips": ("sp", True),
    "µPC, skips": ("mupc", True),
}
ALL = "2x2,2x128,8x8,8x32,8x128,32x8,32x32,32x128,128x2,128x8,128x32,128x128,128x512"
MIB = 2**20


def main() -> None:
    options = parse()
    cap_threads(options.threads)
    if options.child:
        measured = activities if options.solvers else condition_numbers
        print(json.dumps(measured(options.shapes[0], options)))
        return
    (solvers if options.solvers else landscape)(options).publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--shapes", type=shapes, default=ALL, help=f"HxN,... (default {ALL})")
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--solvers", action="store_true", help="exact activities of a batch")
    found.add_argument("--solver", help=argparse.SUPPRESS)
    found.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return found.parse_args()


def landscape(options: argparse.Namespace) -> Report:
    report = Report(
        "Condition number of the activity Hessian at initialisation",
        ["H x N", *NETWORKS, "seconds", "process, MiB"],
        notes=["Seconds are those of the slowest of the five."],
    )
    for shape in options.shapes:
        found, peak = in_fresh_process(shape, options)
        numbers = [f"{found[name]['condition_number']:.3g}" for name in NETWORKS]
        seconds = max(cell["seconds"] for cell in found.values())
        cells = [*numbers, f"{seconds:.2f}", f"{peak / MIB:.0f}"]
        report.rows.append([f"{shape[0]} x {shape[1]}", *cells])
    return report


def solvers(options: argparse.Namespace) -> Report:
    report = Report(
        f"Exact activities of {BATCH} samples",
        ["H x N", "solver", "seconds", "residual", "process, MiB"],
        notes=["µPC with skips; residual is ||dF/dz|| relative to the forward pass."],
    )
    for shape in options.shapes:
        for name in ("by_errors", "by_blocks"):
            found, peak = in_fresh_process(shape, options, "--solver", name)
            cells = [f"{found['seconds']:.2f}", f"{found['residual']:.1e}", f"{peak / MIB:.0f}"]
            report.rows.append([f"{shape[0]} x {shape[1]}", name, *cells])
    return report


def in_fresh_process(shape: Shape, options: argparse.Namespace, *more: str) -> tuple[Any, float]:
    """Return what a fresh process measures, and its peak memory in bytes."""
    command = [sys.executable, Path(__file__), "--child", "--shapes", label(shape), *more]
    command += ["--threads", str(options.threads), *(["--solvers"] if options.solvers else [])]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    found = json.loads(output)
    return found, found.pop("peak")


def condition_numbers(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    """Measure every network; networks with the same products a_l W_l share a program."""
    from dataclasses import replace

    import jax

    from pccore.theory import conditioning

    compiled = jax.jit(lambda network: conditioning(network).condition_number)
    found: dict[str, Any] = {}
    for name, (parameterisation, residual) in NETWORKS.items():
        network = config(shape, parameterisation, residual=residual).build(jax.random.key(0))
        a, scaled = network.config.scalings, replace(network.config, parameterisation="sp")
        hidden, last = a.hidden * network.hidden, a.last * network.last
        network = replace(network, hidden=hidden, last=last, config=scaled)
        number, seconds = second_run(compiled, network)
        found[name] = {"condition_number": float(number), "seconds": seconds}
    return found | {"peak": resident_peak()}


def activities(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    import jax

    from pccore.networks import linear_solution
    from pccore.theory import exact_activities

    network = config(shape, "mupc", residual=True).build(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (BATCH, INPUTS))
    y = jax.nn.one_hot(jax.numpy.arange(BATCH) % OUTPUTS, OUTPUTS)
    solver = getattr(linear_solution, options.solver)
    compiled = jax.jit(lambda *given: exact_activities(*given, solver=solver))
    found, seconds = second_run(compiled, network, x, y)
    return {"seconds": seconds, "residual": float(found.residual), "peak": resident_peak()}


def config(shape: Shape, parameterisation: str, *, residual: bool) -> Any:
    import pccore

    depth, width = shape
    return pccore.NetworkConfig(INPUTS, OUTPUTS, width, depth, "linear", residual, parameterisation)


def second_run(compiled: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """Return what a compiled function returns, and its seconds once it is compiled."""
    import jax

    jax.block_until_ready(compiled(*given))
    start = time.perf_counter()
    found = jax.block_until_ready(compiled(*given))
    return found, time.perf_counter() - start


if __name__ == "__main__":
    main()

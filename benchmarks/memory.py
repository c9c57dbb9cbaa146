"""Memory of a training step by depth and width, compared with the estimate used for lanes.

    python benchmarks/memory.py [--shapes 8x64,8x128,...] [--lanes 1] [--no-runs]

"Program" is what XLA plans for one compiled step of one lane: arguments, outputs and temporaries,
less what is shared (weights and Adam's state are donated, as in training). "Estimate" is
`jobs.pools.layouts.lane_bytes`. "Process" is by how much the largest resident size of a fresh
process grows while it trains two steps, compilation included; on a GPU it is the device's peak use
instead.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from measure import BATCH, Shape, cap_threads, label, made_up, network, parser, shapes, training
from report import Report

ALL = "8x64,8x128,32x128,128x64,128x128,8x512,32x512,128x512"
MIB = 2**20


def main() -> None:
    options = parse()
    cap_threads(1)
    if options.child:
        print(json.dumps(process_bytes(options.shapes[0], options.lanes)))
        return
    from jobs.pools.layouts import lane_bytes

    report = Report(
        "Memory of a training step, in MiB",
        ["H x N", "program", "estimate", "estimate / program", "process"],
        notes=[f"B = {BATCH}, T = H, {options.lanes} lane(s); program and estimate are per lane."],
    )
    for shape in options.shapes:
        program = program_bytes(shape, options.lanes) / options.lanes
        estimate = lane_bytes(training(shape, 1))
        ratio = report.ratios[f"estimate / program memory, {label(shape)}"] = estimate / program
        grown = "-" if options.no_runs else f"{in_fresh_process(shape, options.lanes) / MIB:.0f}"
        cells = [f"{program / MIB:.1f}", f"{estimate / MIB:.1f}", f"{ratio:.2f}", grown]
        report.rows.append([f"{shape[0]} x {shape[1]}", *cells])
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--shapes", type=shapes, default=ALL, help=f"HxN,... (default {ALL})")
    found.add_argument("--lanes", type=int, default=1)
    found.add_argument("--no-runs", action="store_true", help="compile only, train nothing")
    found.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return found.parse_args()


def program_bytes(shape: Shape, lanes: int) -> int:
    """Return the bytes that the compiled training step of `lanes` networks needs."""
    import jax

    import pccore
    from steps import adam_step, batch, closed_form

    def create(seed: jax.Array) -> tuple:
        net = network(shape).build(jax.random.key(seed))
        return net, pccore.Adam().transformation().init(net)

    def step(carry: tuple, x: jax.Array, y: jax.Array) -> tuple:
        return adam_step(closed_form(shape), x, y)(*carry)

    carry = jax.eval_shape(jax.vmap(create), jax.numpy.arange(lanes))
    x, y = (jax.ShapeDtypeStruct((lanes, *array.shape), array.dtype) for array in batch())
    plan = jax.jit(jax.vmap(step), donate_argnums=0).lower(carry, x, y).compile().memory_analysis()
    return (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes
    )


def in_fresh_process(shape: Shape, lanes: int) -> float:
    """Return `process_bytes` of a fresh process."""
    command = [sys.executable, Path(__file__), "--child"]
    command += ["--shapes", label(shape), "--lanes", str(lanes)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def process_bytes(shape: Shape, lanes: int) -> float:
    """Return the bytes by which the peak grows while `lanes` networks train two steps."""
    import jax

    import pccore

    data = made_up(train=2 * BATCH, test=BATCH)
    jax.jit(lambda x: x + 1)(1.0).block_until_ready()
    before = peak_bytes(jax.devices()[0])
    group = [pccore.Lane(1e-4, 1.0, seed) for seed in range(lanes)]
    pccore.fit_many(training(shape, 2), data, group)
    return peak_bytes(jax.devices()[0]) - before


def peak_bytes(device: object) -> float:
    """Return the peak use of the device where it is reported, else of this process."""
    statistics = device.memory_stats() or {}
    return statistics.get("peak_bytes_in_use") or resident_peak()


def resident_peak() -> float:
    """Return the peak of this process. `ru_maxrss` would start at the parent's peak."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()

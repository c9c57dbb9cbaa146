"""Roofline of one training step on a GPU, compared with the measurement where there is one.

    python benchmarks/roofline.py [--gpu H100] [--cases 8x64x132,8x128x132,128x512x1]

A case is H x N x lanes. A step has three phases (forward pass, T = H inference steps, learning);
each takes the longest of its arithmetic at the peak rate, its traffic at the memory's bandwidth,
and its kernel launches one after the other. docs/performance.md derives the counts. With a GPU, the
measured time of a step inside `pccore.fit_many` is listed with the prediction.
"""

import argparse
import math
from dataclasses import dataclass

from measure import BATCH, EPOCH, INPUTS, OUTPUTS, Shape, in_turns, naive_flops, parser, shapes
from report import Report

FLOAT = 4  # bytes
BLOCKS = 8  # of moving layers in the wave (pccore.networks.local)
DEFAULT_CASES = "8x64x132,8x128x132,128x128x1,128x512x1"

# Passes over the activities of the moving layers in one inference step, as a batched program of
# unfused products makes them: change and slope of the activation 2 read + 2 written, prediction
# 1 + 1, error 2 + 1, feedback 1 + 1, the new departure 4 + 1. Both products read the weights.
ACTIVITY_PASSES, WEIGHT_PASSES = 16, 2
# Kernels of such a step: two batched products, two with W_L, and five fused loops over activities.
STEP_KERNELS = 9
LAYER_KERNELS = 4  # of the forward pass: slice W_l, activation, product, scale and add
OTHER_KERNELS = 30  # batch, output, weight gradients, Adam's updates of three arrays
LAUNCH = (3e-6, 5e-6)  # seconds, from one dependent kernel to the next

COLUMNS = [
    "H x N x lanes",
    "GFLOP",
    "GB",
    "kernels",
    "arithmetic, fp32 / TF32, ms",
    "traffic, ms",
    "launches, ms",
    "predicted, fp32 / TF32, ms",
    "inference, a layer per SM, fp32 / TF32, ms",
    "trials/hour",
    "measured, ms",
]


@dataclass(frozen=True)
class Gpu:
    """Peak rates by NVIDIA's data sheets (SXM versions, dense): flop/s and bytes/s."""

    fp32: float
    tf32: float
    bandwidth: float
    multiprocessors: int = 132
    shared: int = 227 * 1024
    """Bytes of shared memory that a program may take of one multiprocessor."""


GPUS = {
    "H100": Gpu(fp32=67e12, tf32=495e12, bandwidth=3.35e12),
    "H200": Gpu(fp32=67e12, tf32=495e12, bandwidth=4.8e12),
}


@dataclass(frozen=True)
class Phase:
    """Operations, bytes of traffic and sequential kernels of one phase of a step."""

    flops: float
    bytes: float
    kernels: float

    def seconds(self, peak: float, bandwidth: float, launch: float) -> float:
        """Return the longest of arithmetic, traffic and launches."""
        return max(self.flops / peak, self.bytes / bandwidth, self.kernels * launch)


def wave_share(depth: int, blocks: int = BLOCKS) -> float:
    """Return the share of H x H layers that T = H inference steps compute: 9/16 with eight blocks.

    The block of moving layers grows by a stride; a step computes the smallest that holds what an
    error can have reached, one layer more a step.
    """
    stride = -(-depth // blocks)
    moved = sum(min(depth, -(-step // stride) * stride) for step in range(1, depth + 1))
    return moved / depth**2


def phases(shape: Shape, lanes: int, batch: int = BATCH) -> dict[str, Phase]:
    """Return the three phases of a training step of `lanes` networks, T = H."""
    depth, width = shape
    hidden, last = (depth - 1) * width**2, OUTPUTS * width
    weights = hidden + last + INPUTS * width
    activities = depth * batch * width
    inference = depth * wave_share(depth)  # steps, if every step moved every layer
    forward = Phase(
        2 * batch * weights, FLOAT * (weights + 4 * activities), LAYER_KERNELS * (depth - 1)
    )
    relaxing = Phase(
        4 * batch * (inference * hidden + depth * last),
        FLOAT * inference * (ACTIVITY_PASSES * activities + WEIGHT_PASSES * hidden),
        STEP_KERNELS * depth,
    )
    learning = Phase(
        2 * batch * (hidden + last + weights),
        FLOAT * (10 * activities + hidden + 8 * weights),  # W once; its gradient, w, m, v: 8
        OTHER_KERNELS,
    )
    named = {"forward": forward, "inference": relaxing, "learning": learning}
    return {
        name: Phase(lanes * phase.flops, lanes * phase.bytes, phase.kernels)
        for name, phase in named.items()
    }


def predicted(shape: Shape, lanes: int, peak: float, bandwidth: float, launch: float) -> float:
    """Return the predicted seconds of a training step."""
    found = phases(shape, lanes).values()
    return sum(phase.seconds(peak, bandwidth, launch) for phase in found)


def layer_per_sm(
    shape: Shape, lanes: int, gpu: Gpu, peak: float, batch: int = BATCH
) -> float | None:
    """Return the least seconds of T = H inference steps with one layer per multiprocessor.

    Weights and activities of a layer (start and departure) stay in the shared memory of its
    multiprocessor, so that nothing but arithmetic is left: both products of a layer, step after
    step, H of them. The wave saves nothing, as layers that wait occupy their multiprocessor. None
    where a layer exceeds the shared memory, or a network the GPU.
    """
    depth, width = shape
    if FLOAT * (width**2 + 2 * batch * width) > gpu.shared or depth > gpu.multiprocessors:
        return None
    rounds = math.ceil(lanes / (gpu.multiprocessors // depth))
    layer = 4 * batch * width**2 / (peak / gpu.multiprocessors)
    return rounds * depth * layer


def main() -> None:
    options = parse()
    gpu = GPUS[options.gpu]
    report = Report(
        f"Roofline of a training step on one {options.gpu} (SXM)",
        COLUMNS,
        notes=[
            f"Peaks by NVIDIA's data sheet: {gpu.fp32 / 1e12:.0f} TFLOP/s fp32, "
            f"{gpu.tf32 / 1e12:.0f} TF32 (dense), {gpu.bandwidth / 1e12:.2f} TB/s; launches 3 to "
            "5 us. Trials are MNIST epochs, at the slower prediction."
        ],
    )
    for depth, width, lanes in options.cases:
        seconds = measured((depth, width), lanes, options.repeats)
        add(report, (depth, width), lanes, gpu, seconds)
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--gpu", choices=GPUS, default="H100")
    found.add_argument("--cases", type=cases, default=DEFAULT_CASES, help=DEFAULT_CASES)
    return found.parse_args()


def cases(text: str) -> list[tuple[int, int, int]]:
    """Parse "8x128x132,128x512x1" into depths, widths and lanes."""
    found = []
    for part in text.split(","):
        shape, _, lanes = part.strip().rpartition("x")
        if not lanes.isdecimal():
            raise argparse.ArgumentTypeError(
                f"a case is HxNxlanes, such as 8x128x132, got {part!r}"
            )
        found.append((*shapes(shape)[0], int(lanes)))
    return found


def add(report: Report, shape: Shape, lanes: int, gpu: Gpu, seconds: float | None) -> None:
    """Add one line to the table."""
    found = phases(shape, lanes).values()
    flops, traffic = sum(p.flops for p in found), sum(p.bytes for p in found)
    kernels = sum(p.kernels for p in found)
    fast, slow = LAUNCH
    worst = predicted(shape, lanes, gpu.fp32, gpu.bandwidth, slow)
    best = predicted(shape, lanes, gpu.tf32, gpu.bandwidth, fast)
    resident = [layer_per_sm(shape, lanes, gpu, peak) for peak in (gpu.fp32, gpu.tf32)]
    report.rows.append(
        [
            f"{shape[0]} x {shape[1]} x {lanes}",
            f"{flops / 1e9:.1f}",
            f"{traffic / 1e9:.2f}",
            f"{kernels:.0f}",
            f"{1e3 * flops / gpu.fp32:.2f} / {1e3 * flops / gpu.tf32:.2f}",
            f"{1e3 * traffic / gpu.bandwidth:.2f}",
            f"{1e3 * kernels * fast:.2f} to {1e3 * kernels * slow:.2f}",
            f"{1e3 * worst:.2f} / {1e3 * best:.2f}",
            "-" if None in resident else " / ".join(f"{1e3 * s:.3f}" for s in resident),
            f"{3600 * lanes / (worst * EPOCH):.0f}",
            "-" if seconds is None else f"{1e3 * seconds:.2f}",
        ]
    )
    if seconds is not None:
        name = f"{shape[0]}x{shape[1]}x{lanes}"
        report.ratios[f"predicted / measured, {name}"] = worst / seconds
        report.ratios[f"naive rate / fp32 peak, {name}"] = (
            lanes * naive_flops(shape) / (seconds * gpu.fp32)
        )


def measured(shape: Shape, lanes: int, repeats: int) -> float | None:
    """Return the seconds of a training step where JAX has a GPU, else None."""
    import jax

    if jax.default_backend() != "gpu":
        return None
    import steps

    count = max(3, 300 // shape[0])
    times = in_turns(steps.fits(shape, "relu", count, lanes), repeats)
    return steps.per_fit_step(times, count)


if __name__ == "__main__":
    main()

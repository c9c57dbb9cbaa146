"""`make gpu`: everything that waits for a GPU, in one table and within eight minutes.

    python benchmarks/gpu.py [--only kernel,lanes] [--recipe NAME] [--json] [--quick]

Each part is a process of its own with a time limit, so that one that fails or takes too long loses
only its own lines, and no part finds the GPU's memory taken by another:

- tests: the tests marked `gpu`, among them the Pallas kernel against float64;
- steps: training steps against the roofline of this GPU (docs/performance.md);
- lanes: 1, 8, 32 and 132 networks of 8 x 128 in one program, against the same model;
- kernel: inference by the Pallas kernel and by XLA, in turns, and how far their results are apart;
- recipe: one experiment of the documents at full size.

Without a GPU it says so and exits with status 2; with one, the status is 1 if a part failed.
--quick runs tiny sizes on any device, to test this script: its numbers mean nothing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

from measure import ROOT, Shape, in_turns, label, parser
from report import Report, command

Case = tuple[int, int, int]  # H, N, lanes

NO_GPU = 2
COLUMNS = ["part", "what", "measured", "compared with"]
DEVICE_LIMIT = 40
LIMITS = {"tests": 90, "steps": 75, "lanes": 75, "kernel": 75, "recipe": 120}
"""Seconds of each part. With the start of JAX that names the device, under 480."""


@dataclass
class Part:
    """What one part of the measurement found.

    Attributes:
        lines: what was measured, the figure, and what it is compared with, as text.
        ratios: numbers by name; larger is better.
        error: why it failed, or "".
    """

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements: those for a GPU, or tiny ones."""

    steps: tuple[Case, ...] = ((8, 64, 132), (128, 128, 1))
    tuned: Shape = (8, 128)
    lanes: tuple[int, ...] = (1, 8, 32, 132)
    kernel: tuple[Case, ...] = ((8, 64, 132), (8, 128, 1), (8, 128, 132))
    count: int = 50
    repeats: int = 3
    recipe: tuple[str, str] = ("deep-chains", "full")


QUICK = Sizes(
    steps=((2, 16, 2),),
    tuned=(2, 16),
    lanes=(1, 2),
    kernel=((2, 16, 2),),
    count=2,
    repeats=1,
    recipe=("toy-landscape", "small"),
)


def main() -> None:
    options = parse()
    sizes = QUICK if options.quick else Sizes()
    if options.part:
        print(json.dumps(asdict(MEASURED[options.part](sizes))))
        return
    device = of_process("device", DEVICE_LIMIT, options)
    if device.error or not device.lines:
        sys.exit(f"JAX did not start: {device.error}")
    name, platform, version = device.lines[0]
    if platform != "gpu" and not options.quick:
        print(f"There is no GPU here: JAX {version} finds {name}.", file=sys.stderr)
        sys.exit(NO_GPU)
    found = {part: result_of(part, sizes, options) for part in options.only}
    if options.json:
        facts = {"device": name, "jax": version, "date": str(date.today())}
        print(json.dumps(facts | {part: asdict(each) for part, each in found.items()}))
    else:
        as_report(found, f"{name}, {date.today()}, {command()}.").publish(options)
    sys.exit(any(part.error for part in found.values()))


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--only", type=parts, default=",".join(LIMITS), help="parts to run")
    found.add_argument("--quick", action="store_true", help="tiny sizes, on any device")
    found.add_argument("--recipe", help=f"recipe at full size (default {Sizes().recipe[0]})")
    found.add_argument("--part", choices=MEASURED, help=argparse.SUPPRESS)
    return found.parse_args()


def parts(text: str) -> list[str]:
    """Parse "kernel,lanes"."""
    found = [part.strip() for part in text.split(",")]
    if unknown := [part for part in found if part not in LIMITS]:
        raise argparse.ArgumentTypeError(f"parts are {', '.join(LIMITS)}, got {unknown[0]!r}")
    return found


def as_report(found: dict[str, Part], where: str) -> Report:
    """Return the table of all parts, whether they failed or not."""
    report = Report("A GPU", COLUMNS, notes=[where])
    for name, part in found.items():
        report.rows += [[name, *line] for line in part.lines]
        report.ratios |= {f"{name}: {key}": value for key, value in part.ratios.items()}
        if part.error:
            report.rows.append([name, "FAILED", "-", part.error.replace("|", "/")])
    return report


def result_of(part: str, sizes: Sizes, options: argparse.Namespace) -> Part:
    """Run a part and print how long it took, unless only JSON is wanted."""
    start = time.monotonic()
    if part == "tests":
        found = tests()
    elif part == "recipe":
        found = recipe(options.recipe or sizes.recipe[0], sizes.recipe[1])
    else:
        found = of_process(part, LIMITS[part], options)
    if not options.json:
        print(f"{part}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def of_process(part: str, limit: float, options: argparse.Namespace) -> Part:
    """Measure a part in a process of its own; return what it found, or why it found nothing."""
    arguments = [sys.executable, str(Path(__file__)), "--part", part]
    arguments += ["--quick"] if options.quick else []
    status, out, errors = finished(arguments, limit)
    if status is None:
        return Part(error=f"took more than {limit:g} s")
    try:
        return Part(**json.loads(out.strip().splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        return Part(error=last_line(errors) or f"ended with status {status}")


def finished(arguments: list[str], limit: float, **variables: str) -> tuple[int | None, str, str]:
    """Run a process and what it starts; return status, output and errors.

    The status is None if it took longer than `limit` seconds and was ended.
    """
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, "", ""
    return process.returncode, out, errors


def last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def device(sizes: Sizes) -> Part:
    """Name the device."""
    import jax

    first = jax.local_devices()[0]
    return Part([(first.device_kind, jax.default_backend(), jax.__version__)])


def tests() -> Part:
    """Run the tests that need a GPU, compiled as users' programs are."""
    arguments = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/pccore"]
    status, out, errors = finished(arguments, LIMITS["tests"], JAX_DISABLE_MOST_OPTIMIZATIONS="0")
    if status is None:
        return Part(error=f"took more than {LIMITS['tests']} s")
    summary = last_line(out) or last_line(errors)
    return Part([("pytest -m gpu", summary, "-")], error="" if status == 0 else summary)


def steps(sizes: Sizes) -> Part:
    """Measure training steps against the roofline."""
    return against_roofline(sizes.steps, sizes)


def lanes(sizes: Sizes) -> Part:
    """Measure training steps at tuning size by the number of lanes."""
    return against_roofline([(*sizes.tuned, count) for count in sizes.lanes], sizes)


def against_roofline(cases: Sequence[Case], sizes: Sizes) -> Part:
    import jax

    import steps as training_steps
    from roofline import GPUS, LAUNCH, predicted

    model = modelled(jax.local_devices()[0].device_kind)
    gpu = GPUS[model]
    found = Part()
    for depth, width, lanes in cases:
        shape = depth, width
        count = max(2, sizes.count * 8 // depth)
        times = in_turns(training_steps.fits(shape, "relu", count, lanes), sizes.repeats, 20)
        seconds = training_steps.per_fit_step(times, count)
        slow = predicted(shape, lanes, gpu.fp32, gpu.bandwidth, LAUNCH[1])
        fast = predicted(shape, lanes, gpu.tf32, gpu.bandwidth, LAUNCH[0])
        name = f"step of {label(shape)}, {counted(lanes)}"
        found.lines.append(
            (
                name,
                f"{1e3 * seconds:.3f} ms, {1e6 * seconds / lanes:.1f} µs a lane",
                f"{1e3 * fast:.3f} to {1e3 * slow:.3f} ms by the roofline of {model}",
            )
        )
        found.ratios[f"predicted / measured, {name}"] = slow / seconds
    return found


def counted(lanes: int) -> str:
    return "1 lane" if lanes == 1 else f"{lanes} lanes"


def modelled(kind: str) -> str:
    """Return the name of the GPU whose data sheet describes this kind; an H100 for others."""
    from roofline import GPUS

    return next((name for name in GPUS if name in kind), "H100")


def kernel(sizes: Sizes) -> Part:
    """Measure inference by the Pallas kernel and by XLA, and compare their results."""
    import jax.numpy as jnp

    found = Part()
    for depth, width, lanes in sizes.kernel:
        results, timed = {}, {}
        for name, infer in inferences((depth, width), lanes).items():
            results[name] = infer()
            timed[name] = partial(repeated, infer, sizes.count)
        times = in_turns(timed, max(2, sizes.repeats), 10)
        difference = jnp.linalg.norm(results["Pallas"] - results["XLA"])
        apart = float(difference / jnp.linalg.norm(results["XLA"]))
        case = f"inference, {label((depth, width))}, {counted(lanes)}"
        pallas, xla = (f"{1e6 * times[name]:.0f} µs" for name in ("Pallas", "XLA"))
        found.lines.append((case, f"{pallas} by the kernel", f"{xla} by XLA; {apart:.1e} apart"))
        found.ratios[f"XLA / Pallas, {case}"] = times["XLA"] / times["Pallas"]
        if not apart < 0.01:  # TF32 has ten bits
            found.error = f"{case}: the results are {apart:.1e} apart"
    return found


def inferences(shape: Shape, lanes: int) -> dict[str, Callable]:
    """Return compiled inference of all lanes from a forward pass, T = H, by both."""
    import jax

    import steps as training_steps
    from measure import network
    from pccore.networks import descent, pallas_descent

    x, y = training_steps.batch()
    config = network(shape)
    networks = jax.vmap(config.build)(jax.random.split(jax.random.key(0), lanes))
    relaxations = jax.jit(jax.vmap(lambda net: net.relaxation(x, y)))(networks)

    def compiled(call: Callable) -> Callable:
        run = jax.jit(jax.vmap(lambda relaxation: call(relaxation, 1 / len(x), shape[0])))
        return partial(run, relaxations)

    both = {"XLA": descent.by_waves, "Pallas": pallas_descent.by_lanes}
    return {name: compiled(call) for name, call in both.items()}


def repeated(infer: Callable, count: int) -> float:
    """Return seconds per call of calls that are sent out one after the other."""
    start = time.perf_counter()
    for _ in range(count):
        last = infer()
    last.block_until_ready()
    return (time.perf_counter() - start) / count


def recipe(name: str, scale: str) -> Part:
    """Run one experiment into a new ledger."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-m", "experiments", "run", name, "--scale", scale]
        arguments += ["--ledger", f"{folder}/runs", "--out", f"{folder}/report"]
        status, _, errors = finished(arguments, LIMITS["recipe"])
    if status is None:
        return Part(error=f"{name} took more than {LIMITS['recipe']} s")
    if status:
        return Part(error=last_line(errors) or f"{name} ended with status {status}")
    return Part([(f"{name}, {scale}", f"{time.monotonic() - start:.0f} s", "-")])


MEASURED: dict[str, Callable[[Sizes], Part]] = {
    "device": device,
    "steps": steps,
    "lanes": lanes,
    "kernel": kernel,
}
"""The parts that use JAX themselves."""

if __name__ == "__main__":
    main()

"""What streaming a data set costs: training from the host's memory, compared with the device's.

    python benchmarks/streaming.py [--depth 8] [--width 128] [--lanes 4] [--seeds 4]
        [--steps 100] [--repeats 5] [--clock wall|processor]

The data are random pixels, as many and as large as MNIST's. Both ways take turns, and the medians
of their times per update are compared. Lanes of one seed share their batches. On a CPU the host's
memory is the device's: the gathering of batches competes with training for its cores, and processor
time counts both, whatever else the machine does. A training shuffles the data once, for every lane
from the device and for every seed streamed: take an epoch of 937 steps to see it in proportion.
"""

import argparse
import json
import os
import statistics
import time

import numpy as np

import pccore
from pccore.data import Dataset
from pccore.training.feed import ENVIRONMENT_VARIABLE

SAMPLES, INPUTS, CLASSES = 60_000, 784, 10
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def pixels(samples: int) -> Dataset:
    """Return random pixels with random labels."""
    random = np.random.RandomState(0)
    x = random.randint(0, 256, (samples + 1000, INPUTS)).astype(np.uint8)
    y = random.randint(0, CLASSES, samples + 1000).astype(np.int32)
    return Dataset(
        "pixels", "classification", x[1000:], y[1000:], x[:1000], y[:1000], mean=127.5, std=73.9
    )


def main() -> None:
    options = parse()
    data = pixels(SAMPLES)
    config = pccore.TrainingConfig(
        pccore.NetworkConfig(INPUTS, CLASSES, width=options.width, depth=options.depth),
        pccore.PredictiveCoding(pccore.GradientDescent(steps=options.depth)),
        steps=options.steps,
        eval_every=options.steps,
    )
    lanes = [pccore.Lane(1e-3, 0.5, lane % options.seeds) for lane in range(options.lanes)]
    clock = CLOCKS[options.clock]

    def milliseconds(*, streamed: bool) -> float:
        """Return the time per update of a training, with its evaluation."""
        os.environ[ENVIRONMENT_VARIABLE] = "0" if streamed else "1e9"
        start = clock()
        pccore.fit_many(config, data, lanes)
        return 1e3 * (clock() - start) / options.steps

    for streamed in (False, True):
        milliseconds(streamed=streamed)  # compiles
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(options.repeats):
        for streamed, found in times.items():
            found.append(milliseconds(streamed=streamed))
    device, host = (statistics.median(times[streamed]) for streamed in (False, True))
    ratios = [b / a for a, b in zip(times[False], times[True], strict=True)]
    ratio = statistics.median(ratios)
    if options.json:
        print(json.dumps({f"{options.depth}x{options.width}": ratio}))
        return
    print(
        f"{options.depth} x {options.width}, {options.lanes} lanes: {device:.2f} ms per update "
        f"from the device, {host:.2f} ms streamed; the ratios of {options.repeats} pairs are "
        f"{min(ratios):.3f} to {max(ratios):.3f}, in the median {ratio:.3f}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    numbers = {"depth": 8, "width": 128, "lanes": 4, "seeds": 4, "steps": 100, "repeats": 5}
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--json", action="store_true", help="print the ratio alone")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    return parser.parse_args()


if __name__ == "__main__":
    main()

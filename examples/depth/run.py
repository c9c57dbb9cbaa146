"""Rules of inference at other widths, data sets, depths and lengths than their specs here have.

Every experiment goes into one ledger, and continues there if it was interrupted:

    python examples/depth/run.py lagrangian nesterov --width 64 --depths 32,64
    python examples/depth/run.py bp --dataset mnist --tuned 16 --steps 6600
"""

import argparse
from pathlib import Path

import yaml

import mupc

HERE = Path(__file__).parent


def experiment(rule, dataset, width, tuned, depths, steps):
    """Return the spec of one rule, with these settings in place of its own, as an experiment."""
    spec = yaml.safe_load((HERE / f"{rule}.yaml").read_text())
    spec["name"] = f"depth-{rule}-{dataset}-{width}-{tuned}-{'-'.join(map(str, depths))}-{steps}"
    spec["dataset"] = dataset
    spec["training"] |= {"steps": steps, "eval_every": max(100, steps // 3)}
    spec["tune"] |= {"width": width, "depth": tuned}
    spec["transfer"]["depths"] = depths
    if tuned != 8:  # the fitted law is about depths from 8 on
        spec["transfer"]["rules"] = ["zero_shot", "depth_mup"]
    return mupc.Experiment.from_dict(spec)


def numbers(text):
    return [int(each) for each in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rules", nargs="+", metavar="RULE", help="name of a spec beside this file")
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--tuned", type=int, default=8, help="depth of the small network")
    parser.add_argument("--depths", type=numbers, default=[32, 64, 128])
    parser.add_argument("--steps", type=int, default=300, help="weight updates")
    parser.add_argument("--ledger", default="runs")
    parser.add_argument("--workers", type=int, help="groups trained at the same time")
    chosen = parser.parse_args()
    ledger, pool = mupc.open(chosen.ledger, create=True), mupc.LocalPool(chosen.workers)
    for rule in chosen.rules:
        spec = experiment(
            rule, chosen.dataset, chosen.width, chosen.tuned, chosen.depths, chosen.steps
        )
        print(mupc.run(spec, ledger, pool))


if __name__ == "__main__":
    main()

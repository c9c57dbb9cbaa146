"""Judges of chapter 6's recipes on made-up evidence; timed networks and updates."""

from dataclasses import replace

import pytest
from made_up_evidence import evidence
from made_up_measurements import measured

from experiments import RECIPES
from experiments.recipes import euler_heun, inference_time

NOTHING = measured([])


@pytest.mark.parametrize("name", ["energy-vs-inference-time", "euler-heun"])
def test_no_verdict_without_evidence(name):
    for claim in RECIPES[name].claims:
        assert claim.judge(NOTHING) is None


def by_time(excess=lambda t: 1 / t, accuracy=lambda t: 0.5 + t / 2000, times=inference_time.TIMES):
    """Return evidence of energies (theory: 1) after one evaluation, and accuracies."""
    rows, runs, curves = [], [], []
    for dataset in inference_time.DATASETS:
        for t in times:
            where = {"dataset": dataset, "activity_lr": t}
            points = {"step": [10, 20], "test_accuracy": accuracy(t)}
            curves.append((len(runs), points))
            runs.append(where)
            for step in (0, 10):  # before the first update all times share their weights
                own = {**where, "seed": 0, "step": step}
                value = 1 + (0.5 if step else excess(t))
                rows.append({"quantity": "numerical_energy", "value": value, **own})
                rows.append({"quantity": "equilibrated_energy", "value": 1.0, **own})
    return measured(rows, runs, curves)


def test_energy_approaches_theory_with_time():
    judge = inference_time.approaches_theory
    assert judge(by_time()).holds
    assert not judge(by_time(excess=lambda t: 1 / abs(t - 10.5))).holds
    assert judge(by_time(times=inference_time.TIMES[:3])) is None


def test_more_inference_is_more_accurate():
    def judge(found):
        return inference_time.accuracy_rises_with_time(found, "mnist")

    assert judge(by_time()).holds
    assert not judge(by_time(accuracy=lambda t: 0.5 - t / 2000)).holds
    # up to 50, then down to less than at first
    assert not judge(by_time(accuracy=lambda t: 0.5 - abs(t - 50) / 1000)).holds
    assert judge(replace(by_time(), curves=NOTHING.curves)) is None


def times(euler=(2.0, 30.0), heun=(1.0, 3.0), euler_spread=0.01, heun_spread=0.1):
    """Yield durations of four updates of both solvers at H = 3 and 10."""
    for solver, pair, spread in (("euler", euler, euler_spread), ("heun", heun, heun_spread)):
        for depth, seconds in zip((3, 10), pair, strict=True):
            for step, sign in enumerate((-1, -1, 1, 1)):
                yield {
                    "quantity": "update_time", "variant": solver, "dataset": "mnist",
                    "depth": depth, "seed": 0, "step": step, "value": seconds * (1 + sign * spread),
                }  # fmt: skip


@pytest.mark.parametrize(
    ("judge", "bad"),
    [
        (euler_heun.heun_is_faster, {"heun": (3.0, 3.0)}),  # half is not most
        (euler_heun.advantage_grows_with_depth, {"heun": (1.0, 20.0)}),
        (euler_heun.euler_is_steadier, {"euler_spread": 0.2}),
    ],
)
def test_times_of_solvers(judge, bad):
    assert judge(measured(times())).holds
    assert not judge(measured(times(**bad))).holds
    assert judge(measured(own for own in times() if own["variant"] == "euler")) is None


def test_depth_comparison_needs_two_depths():
    one = measured(own for own in times() if own["depth"] == 3)
    assert euler_heun.heun_is_faster(one).holds
    assert euler_heun.advantage_grows_with_depth(one) is None


def cells(needed=(5, 200), heun=0.9, solvers=euler_heun.SOLVERS):
    """Return accuracies at T = 5, 20, 200 and one dt; `needed` are the best T at H = 3 and 10."""
    return evidence(
        {
            "variant": f"{solver} to {T}",
            "depth": depth,
            "activity_lr": 0.5,
            "test_accuracy": (heun if solver == "heun" else 0.9) - (0 if least <= T else 0.3),
        }
        for solver in solvers
        for depth, least in zip((3, 10), needed, strict=True)
        for T in (5, 20, 200)
    )


def test_accuracies_of_solvers():
    comparable, deeper = euler_heun.comparable, euler_heun.deeper_needs_longer_times
    assert comparable(cells()).holds
    assert not comparable(cells(heun=0.87)).holds
    assert comparable(cells(heun=float("nan"))).holds is False  # a diverged run counts as chance
    assert deeper(cells()).holds
    assert not deeper(cells(needed=(20, 20))).holds
    for judge in (comparable, deeper):
        assert judge(cells(solvers=["euler"])) is None


@pytest.mark.parametrize("solver", euler_heun.SOLVERS)
def test_inference_integrates_to_upper_limit(solver):
    config = euler_heun.config("digits", solver, (4, 2), (20, 0.5))
    inference = config.rule.inference
    steps = inference.steps if solver == "euler" else inference.time
    assert steps * 0.5 == 20


def test_times_every_update(monkeypatch):
    monkeypatch.setattr(euler_heun, "SOLVERS", ("euler",))  # every solver compiles a program
    monkeypatch.setitem(euler_heun.CHOSEN, ("digits", 2), ((2, 0.5),))
    size = euler_heun.Size(("digits",), 4, (2,), 1, ((2,), (0.5,)), 3, (0,))
    rows = list(euler_heun.timings(None, size))
    assert [(row["variant"], row["step"]) for row in rows] == [("euler", k) for k in range(3)]
    assert all(row["value"] > 0 for row in rows)
    assert len(euler_heun.trained(None, size)) == 1

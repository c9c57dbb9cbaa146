"""Judges of chapter 3's trainings, on made-up curves."""

import pytest
from made_up_evidence import NOTHING, evidence

from experiments import RECIPES
from experiments.recipes import faster

STEPS = [10, 20, 40, 80, 160, 320, 640]


def chains(pc, bp, activations=faster.ACTIVATIONS, loss="train_loss"):
    """Return curves that fall below 0.01 at the step given for (H, eta); None means never."""
    runs, curves = [], []
    for activation in activations:
        for variant, solved in (("pc", pc), ("bp", bp)):
            for (depth, eta), step in solved.items():
                where = {"variant": variant, "activation": activation, "depth": depth}
                losses = [0.005 if step is not None and at >= step else 0.5 for at in STEPS]
                points = {"step": STEPS, "train_loss": 0.5, "test_loss": 0.5, loss: losses}
                curves.append((len(runs), points))
                runs.append({**where, "weight_lr": eta})
    return evidence(runs, curves)


FAST = {(1, 0.1): 20, (10, 0.1): 40}
SLOW = {(1, 0.1): 20, (10, 0.1): 320}


@pytest.mark.parametrize("name", ["deep-chains", "trust-region-mnist"])
def test_no_verdict_without_evidence(name):
    for claim in RECIPES[name].claims:
        assert claim.judge(NOTHING) is None


@pytest.mark.parametrize("loss", ["train_loss", "test_loss"])
def test_speed_up_of_deep_chains(loss):
    judge = faster.deep_is_faster("tanh", loss)
    assert judge(chains(FAST, SLOW, loss=loss)).holds
    assert not judge(chains(FAST, {**SLOW, (10, 0.1): 40}, loss=loss)).holds
    assert judge(chains(FAST, SLOW, ["relu"], loss=loss)) is None
    shallow = {(1, 0.1): 20}
    assert judge(chains(shallow, shallow, loss=loss)) is None


def test_algorithms_are_judged_at_best_rate():
    several = {**SLOW, (10, 1.0): 40, (10, 0.01): None}
    assert faster.speed_ups(chains(FAST, several), "linear")[10] == pytest.approx(1)


def test_run_that_never_learns_counts_all_batches():
    never = {(1, 0.1): 20, (10, 0.1): None}
    assert faster.speed_ups(chains(FAST, never), "linear")[10] == pytest.approx(640 / 40)


def test_bp_slows_down_with_depth():
    judge = faster.bp_slows_with_depth
    assert judge(chains(FAST, SLOW)).holds
    assert not judge(chains(FAST, FAST)).holds  # twice, not three times
    assert judge(chains(FAST, SLOW, ["linear"])) is None


def test_neither_algorithm_trains_fifteen_layers():
    judge = faster.neither_trains_fifteen_layers
    deep = {**FAST, (faster.TOO_DEEP, 0.1): None}
    assert judge(chains(deep, deep)).holds is None  # a plateau may last longer
    long = chains(deep, deep)
    long.curves["step"] *= 100
    assert judge(long).holds
    assert not judge(chains({**deep, (faster.TOO_DEEP, 0.1): 640}, deep)).holds
    assert judge(chains(FAST, SLOW)) is None


def wide(pc, variants=("pc", "bp")):
    """BP ends at 0.2 after 40 batches; PC's second rate is faster at first but ends worse."""
    arms = {
        ("pc", 0.1): ([1.0, *pc], pc[-1]),
        ("pc", 1.0): ([0.1, 0.1, 0.9], 0.9),
        ("bp", 0.1): ([1.0, 0.6, 0.2], 0.2),
    }
    arms = {arm: found for arm, found in arms.items() if arm[0] in variants}
    runs = [
        {"variant": v, "weight_lr": eta, "activation": "linear", "final_train_loss": final}
        for (v, eta), (_, final) in arms.items()
    ]
    curves = [
        (place, {"step": [10, 20, 40], "train_loss": losses})
        for place, (losses, _) in enumerate(arms.values())
    ]
    return evidence(runs, curves)


def test_speed_up_of_wide_networks():
    judge = faster.wide_is_faster("linear")
    assert judge(wide([0.15, 0.1])).holds  # after 20 of 40
    assert not judge(wide([0.5, 0.1])).holds
    assert not judge(wide([0.5, 0.3])).holds
    assert judge(wide([0.15, 0.1], ["bp"])) is None
    assert faster.wide_is_faster("relu")(wide([0.15, 0.1])) is None

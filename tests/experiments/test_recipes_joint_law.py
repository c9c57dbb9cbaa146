"""Judges of the recipe about the joint law, on made-up optima that follow a known one."""

import made_up_measurements as made_up
import pandas as pd
import pytest

from experiments.recipes import joint_law

(RECIPE,) = joint_law.JOINT_LAW
EXPONENT = "weight_lr_{}_exponent"


def optima(width_power, depth_power, change=0.0, spread=1.1):
    """Yield optima 0.05 (N/64)^p (L/9)^q, q rising by `change` per doubling of N, as measured."""
    for doublings, width in enumerate((32, 64, 128), -1):
        for depth in (8, 16, 32):
            power = depth_power + change * doublings
            eta = 0.05 * (width / 64) ** width_power * ((depth + 1) / 9) ** power
            at = {"width": width, "depth": depth}
            for end, factor in (("", 1), ("_low", 1 / spread), ("_high", spread)):
                yield {"quantity": f"optimal_weight_lr{end}", "value": eta * factor, **at}


def evidence(rows=(), *, width=(-0.6, -0.4), depth=(-0.6, -0.4), fitted="held", depth_mup="held"):
    """Return evidence with the exponents' intervals, and a verdict of each rule at each target."""
    bounds = {}
    for size, (low, high) in (("width", width), ("depth", depth)):
        name = EXPONENT.format(size)
        bounds |= {name: (low + high) / 2, f"{name}_low": low, f"{name}_high": high}
    verdicts = [
        {"rule": rule, "verdict": label, "regret": 0.05, **target, **bounds}
        for rule, label in (("fitted", fitted), ("depth_mup", depth_mup))
        for target in ({"width": 128, "depth": 64}, {"width": 256, "depth": 8})
    ]
    seen = made_up.measured(rows)
    object.__setattr__(seen, "verdicts", pd.DataFrame(verdicts))
    return seen


def holds(seen):
    return [claim.judge(seen).holds for claim in RECIPE.claims]


@pytest.mark.parametrize(
    ("known", "change", "expected"),
    [
        ({}, 0.2, [True, True, True, True]),
        ({"width": (-0.4, -0.1)}, 0.2, [False, True, True, True]),
        ({"depth": (-0.9, -0.6)}, 0.2, [False, True, True, True]),
        ({"fitted": "drifted"}, 0.2, [True, False, True, True]),
        ({"depth_mup": "inconclusive"}, 0.2, [True, True, False, True]),
        ({}, 0.0, [True, True, True, None]),
        ({}, -0.2, [True, True, True, False]),
    ],
)
def test_claims(known, change, expected):
    assert holds(evidence(optima(-0.5, -0.6, change), **known)) == expected


def test_the_change_of_the_power_is_that_of_the_optima():
    judged = joint_law.depth_matters_less_in_wide(evidence(optima(-0.5, -0.6, 0.2, spread=1.001)))
    assert "-0.80 at N = 32, -0.60 at N = 64, -0.40 at N = 128; +0.20" in judged.measured


def test_the_change_is_undecided_without_bounded_optima():
    judged = joint_law.depth_matters_less_in_wide(evidence())
    assert judged.holds is None
    assert judged.measured.endswith("both sides: 0")


def test_no_verdict_without_evidence():
    assert [claim.judge(made_up.measured([])) for claim in RECIPE.claims] == [None] * 4

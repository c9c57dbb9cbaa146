"""The sentence that sums up an experiment, and the next steps."""

import json
from math import log

from synthetic_ledger import verdict

from results.page.conclusion import UNJUDGED, conclusion, next_step, next_steps

GRID = json.dumps({"tune": {"weight_lr": [0.5, 0.1, 0.02], "activity_lr": [10, 1]}})


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_all_held() -> None:
    rows = [verdict(depth=depth, regret=log(1 + depth / 1000)) for depth in (16, 32)]
    assert plain(conclusion(rows)) == (
        "The learning rates tuned at N = 32, H = 8 held at all 2 targets for μPC "
        "(loss at most 3.2 % above the best found)."
    )


def test_variants_rules_and_other_labels() -> None:
    rows = [
        verdict(depth=16, regret=0.0),
        verdict("drifted", 32, regret=log(1.5)),
        verdict("untrained", 16, variant="sp", regret=None, loss=None),
    ]
    assert plain(conclusion(rows)) == (
        "The learning rates tuned at N = 32, H = 8 held at 1 of 2 targets for μPC (1 drifted; loss "
        "at most 50.0 % above the best found) and at none of 1 for SP (untrained; it did not train "
        "there)."
    )
    ruled = [verdict(depth=16), verdict(depth=16, rule="depth_mup")]
    assert "for μPC by zero shot" in conclusion(ruled)
    assert "for μPC by depth mup" in conclusion(ruled)


def test_many_variants_are_counted_alone() -> None:
    rows = [
        verdict(word, depth, variant=variant)
        for variant in ("mupc", "sp", "bp", "ntp")
        for depth, word in ((16, "held"), (32, "drifted"))
    ]
    assert plain(conclusion(rows)) == (
        "The learning rates tuned at N = 32, H = 8 held at 1 of 2 targets for μPC, at 1 of 2 for "
        "SP, at 1 of 2 for BP and at 1 of 2 for NTP."
    )


def test_missing_numbers_may_be_none_or_nan() -> None:
    for missing in (None, float("nan")):
        row = verdict("inconclusive", regret=missing, tune_width=missing, tune_depth=missing)
        assert conclusion([row]).startswith("The tuned learning rates held at none of 1 target")
        assert next_steps([row])
    assert conclusion([]) == UNJUDGED
    assert next_steps([]) == []


def test_step_for_an_edge_names_the_list_and_the_side() -> None:
    low = verdict("edge", weight_lr=0.02, activity_lr=1, best_weight_lr=0.1, spec=GRID)
    low |= {"best_activity_lr": 1}
    assert "values below 0.02 to tune.weight_lr (η) and values below 1 to tune.activity_lr (β)" in (
        next_step(low)
    )
    high = verdict("edge", weight_lr=0.1, activity_lr=3, best_weight_lr=0.5, spec=GRID)
    high |= {"best_activity_lr": 3}
    assert "Add values above 0.5 to tune.weight_lr (η), and run the spec again" in next_step(high)
    for odd in ("", "[]", "{", '{"tune": 3}', '{"tune": {"weight_lr": {"low": 1}}}', None):
        assert "Widen the grid" in next_step(verdict("edge", spec=odd))


def test_step_for_what_held_names_the_rates() -> None:
    rows = [verdict(depth=16), verdict(depth=64, activity_lr=2.0)]
    (step,) = next_steps(rows)
    assert plain(step.about) == "μPC at N = 32, H = 64"
    assert step.advice.startswith("Train this size at η = 0.1, β = 2; it reached 90.0 %")


def test_targets_with_the_same_advice_share_a_step() -> None:
    rows = [verdict("inconclusive", depth) for depth in (64, 16)]
    rows += [verdict("held", 8, shallow=True)]
    steps = next_steps(rows)
    assert [(plain(step.about), step.label) for step in steps] == [
        ("μPC at N = 32, H = 16 and 64", "inconclusive"),
        ("μPC at N = 32, H = 8", "held"),
        ("μPC", "shallow"),
    ]

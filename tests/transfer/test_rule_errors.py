"""Errors of transfer rules in a spec."""

from typing import Any

import pytest
from law_specs import FITTED, law_spec

from transfer import Experiment, SpecError

RANDOM = {"sampler": "random", "trials": 9}

# Rules, other changes to a valid spec, and its one error after "transfer.rules".
CASES: list[tuple[list[Any], dict[str, Any], str]] = [
    (
        ["zero_shoot"],
        {},
        "[0].rule is an unknown transfer rule 'zero_shoot': choose from zero_shot, depth_mup,"
        " exponents, fitted; did you mean 'zero_shot'?",
    ),
    (
        [7],
        {},
        "[0] must name one transfer rule, alone or as {rule: ..., option: ...}, got 7",
    ),
    (
        [],
        {},
        " must have 1 to 1,000 entries, got 0",
    ),
    (
        [FITTED, FITTED | {"depths": [3, 15]}],
        {},
        "[1] must not be given twice, got 'fitted'",
    ),
    (
        [{"rule": "fitted", "depth": [1, 3]}],
        {},
        "[0].depth is unknown: fitted has no option 'depth', choose from rule, depths, "
        "widths; did you mean 'depths'?",
    ),
    (
        [{"rule": "fitted", "depths": [0]}],
        {},
        "[0].depths[0] must be an integer from 1 to 4,096, got 0",
    ),
    (
        [{"rule": "fitted", "depths": 3}],
        {},
        "[0].depths must be a list, got 3",
    ),
    (
        ["fitted"],
        {},
        "[0].depths and widths must make at least 3 shapes with the tuned one, so that a fit "
        "can fail, got 1: (width 8, depth 7)",
    ),
    (
        [{"rule": "fitted", "depths": [3]}],
        {},
        "[0].depths and widths must make at least 3 shapes with the tuned one, so that a fit "
        "can fail, got 2: (width 8, depth 7) and (width 8, depth 3)",
    ),
    (
        [FITTED],
        {"transfer": {"widths": [8, 16]}},
        "[0].widths is missing: the rule is fitted at one width, 8, and a target has width 16",
    ),
    (
        [FITTED],
        {"tune": RANDOM},
        "[0] must not be fitted for sampler random, which leaves gaps: choose grid",
    ),
    (
        [FITTED],
        {"tune": {"weight_lr": [0.1, 0.01]}},
        "[0] must not be fitted when tune.weight_lr has 2 values, of which none is inside: "
        "give at least 3, or one to keep",
    ),
    (
        ["exponents"],
        {},
        "[0]: exponents needs weight_lr or activity_lr, a mapping {depth, width}",
    ),
    (
        [{"rule": "exponents", "weight_lr": -0.5}],
        {},
        "[0].weight_lr must be a mapping {depth: ..., width: ...}, got -0.5",
    ),
    (
        [{"rule": "exponents", "weight_lr": {"dept": 1}}],
        {},
        "[0].weight_lr has the unknown key 'dept': choose from depth, width; did you mean 'depth'?",
    ),
    (
        [{"rule": "exponents", "weight_lr": {"depth": "half"}}],
        {},
        "[0].weight_lr.depth must be a number from -10 to 10, got 'half'",
    ),
    (
        [{"rule": "exponents", "activity_lr": {"depth": 1}}],
        {},
        "[0].activity_lr must be left out: no variant searches an activity learning rate",
    ),
    (
        ["zero_shot", "depth_mup"],
        {"variants": ["mupc", "sp", "ntp"]},
        "[1] must not be depth_mup, which is about muPC's scalings, for sp and ntp",
    ),
    (
        ["depth_mup"],
        {"network": {"residual": False}},
        "[0] must not be depth_mup, which is about skip connections: residual is false",
    ),
]


@pytest.mark.parametrize(("rules", "changes", "sentence"), CASES, ids=lambda v: str(v)[:40])
def test_problem_is_one_sentence(rules: Any, changes: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        Experiment.from_dict(law_spec(*rules, **changes))
    assert caught.value.sentences == (f"transfer.rules{sentence}",)

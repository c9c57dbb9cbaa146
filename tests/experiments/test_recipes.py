"""Every recipe: named, sourced, buildable at both scales, no verdict where nothing ran."""

import itertools

import pytest

import results
from experiments import RECIPES, gather
from experiments.cost import cost, missing
from experiments.scale import Scale
from experiments.scorecard import ClaimStatus, lines
from transfer.spec.building import trace

MOST_SMALL_SECONDS = 600  # of one core


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return results.open(tmp_path_factory.mktemp("ledger") / "runs", create=True)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_does_and_where_it_is_from(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.claims
    for scale in Scale:
        assert recipe.at(scale).text
    for claim in recipe.claims:
        assert claim.source.startswith(("T", "P"))
        assert all((claim.text, claim.target, claim.tolerance))
    assert len({claim.text for claim in recipe.claims}) == len(recipe.claims)


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_run_is_nothing_claimed(name, empty):
    for line in lines(RECIPES[name], Scale.SMALL, empty, None):
        assert line.verdict is ClaimStatus.NOT_RUN
        assert line.measured.startswith("needs ")
    assert gather(empty, RECIPES[name].experiment(Scale.SMALL)).seconds == 0


@pytest.mark.parametrize("name", RECIPES)
def test_the_small_scale_can_be_trained_in_minutes_and_the_full_one_is_larger(name):
    recipe = RECIPES[name]
    if missing(recipe.small, None) or missing(recipe.full, None):
        pytest.skip("its data set is not here")
    small, full = (cost(recipe.at(scale), None) for scale in Scale)
    assert 0 < small.core_seconds <= MOST_SMALL_SECONDS
    assert full.core_seconds >= small.core_seconds


DEEPEST = ("conditioning", Scale.FULL)  # to 128 x 512: half a minute
TRACED = [
    pytest.param(*case, marks=[pytest.mark.slow] if case == DEEPEST else [])
    for case in itertools.product(RECIPES, Scale)
]


@pytest.mark.parametrize(("name", "scale"), TRACED)
def test_every_training_of_a_recipe_can_be_traced(name, scale):
    setting = RECIPES[name].at(scale)
    configs = {run.config for run in setting.runs(None)}
    assert configs or setting.experiments() or setting.calculate, "nothing to run"
    for config in configs:
        trace(config)  # raises where something does not fit

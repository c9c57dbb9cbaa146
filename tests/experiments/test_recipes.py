"""Properties of every recipe: texts, sources, costs, trainings and its scorecard section."""

import itertools
from pathlib import Path

import pytest

import results
from experiments import RECIPES, gather, scorecard_page
from experiments.cost import cost, missing
from experiments.readings import FOLDER, readings
from experiments.scale import Scale
from experiments.scorecard import NOT_RUN, lines
from transfer.spec.building import trace

MOST_SMALL_SECONDS = 600  # of one core


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return results.open(tmp_path_factory.mktemp("ledger") / "runs", create=True)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_have_texts_and_sources(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.claims
    for scale in Scale:
        assert recipe.at(scale).text
    for claim in recipe.claims:
        assert claim.source.startswith(("T", "P", "S", "F", "ours"))
        assert all((claim.text, claim.target, claim.tolerance))
    assert len({claim.text for claim in recipe.claims}) == len(recipe.claims)


@pytest.mark.parametrize("name", RECIPES)
def test_empty_ledger_gives_no_verdicts(name, empty):
    recipe = RECIPES[name]
    unknown = missing(recipe.small, None)
    for line in lines(recipe, Scale.SMALL, empty, None):
        claim = next(claim for claim in recipe.claims if claim.text == line.claim)
        usual = "undecided at this size" if claim.scale is Scale.FULL else NOT_RUN
        assert line.verdict == ("not testable here" if unknown else usual)
        assert line.measured.startswith("needs ")
    assert gather(empty, RECIPES[name].experiment(Scale.SMALL)).seconds == 0


@pytest.mark.parametrize("name", RECIPES)
def test_small_scale_takes_minutes_and_full_scale_more(name):
    recipe = RECIPES[name]
    if missing(recipe.small, None) or missing(recipe.full, None):
        pytest.skip("its data set is not available")
    small, full = (cost(recipe.at(scale), None) for scale in Scale)
    assert 0 < small.core_seconds <= MOST_SMALL_SECONDS
    assert full.core_seconds >= small.core_seconds


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), list(itertools.product(RECIPES, Scale)))
def test_every_training_can_be_traced(name, scale):
    setting = RECIPES[name].at(scale)
    configs = {run.config for run in setting.runs(None)}
    assert configs or setting.experiments() or setting.calculate, "nothing to run"
    for config in configs:
        trace(config)  # raises on incompatible shapes


def test_scorecard_page_is_that_of_the_record():
    """Written by `python -m experiments scorecard --ledger runs --page docs/scorecard.md`."""
    record = scorecard_page.load()
    claims = {name: [claim.text for claim in recipe.claims] for name, recipe in RECIPES.items()}
    assert {name: [*kept["claims"]] for name, kept in record.items()} == claims
    document = Path(__file__).parents[2] / "docs/scorecard.md"
    assert document.read_text(encoding="utf-8") == scorecard_page.page(RECIPES.values(), record)


def test_verdicts_of_the_record_have_the_causes_of_their_readings():
    for name, kept in scorecard_page.load().items():
        for text, line in kept["claims"].items():
            reading = readings(name).get(text)
            if reading is not None and line["verdict"] == reading.verdict:
                assert line["because"] == reading.because, (name, text)


def test_readings_are_of_claims_and_every_file_is_read():
    for path in FOLDER.glob("*.toml"):
        texts = {claim.text for claim in RECIPES[path.stem].claims}
        assert readings(path.stem), path.name
        assert set(readings(path.stem)) <= texts, path.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["a"]\nverdict = "undecided"\nbecause = "size"\nnote = "n"', "what would decide it"),
        ('["a"]\nverdict = "contradicted"\nbecause = "size"\nnote = "n"', "interval, proof"),
        ('["a"]\nverdict = "untestable"\nbecause = "machine"', "no note"),
        ('["a"]\nverdict = "untestable"\nreason = "machine"', "the key 'reason'"),
        ('["a"]\nverdict = "wrong"\nbecause = "size"\nnote = "n"', "verdict 'wrong'"),
    ],
)
def test_invalid_readings_are_refused(tmp_path, text, words):
    (tmp_path / "trial.toml").write_text(text)
    with pytest.raises(ValueError, match=words):
        readings("trial", tmp_path)

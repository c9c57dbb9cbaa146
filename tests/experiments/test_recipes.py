"""Properties of every recipe: texts, sources, costs, trainings and its scorecard section."""

import itertools
from pathlib import Path

import pytest

import results
from experiments import RECIPES, gather
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


@pytest.mark.parametrize("name", RECIPES)
def test_scorecard_document_matches_recipe(name):
    document = Path(__file__).parents[2] / "docs/scorecard.md"
    section = document.read_text().split(f"### {name}\n")[1].split("\n### ")[0]
    words = " ".join(section.split())
    for claim in RECIPES[name].claims:
        cells = (claim.text, claim.source, claim.target, claim.tolerance)
        start = f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        row = next((line for line in section.splitlines() if line.startswith(start)), None)
        assert row is not None, start
        reading = readings(name).get(claim.text)
        if reading is not None and f"**{reading.verdict}**" in row:
            assert f"*{claim.text}* ({reading.because}) {reading.note}" in words


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

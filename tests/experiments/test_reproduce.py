"""Execution of a recipe, its verdicts from the ledger, its cost and its scorecard."""

import importlib
from dataclasses import replace

import pandas as pd
import pytest

import jobs
import pccore
import results
from experiments import (
    Claim,
    Judged,
    Recipe,
    as_markdown,
    gather,
    perform,
    scorecard,
    scorecard_page,
)
from experiments.cost import COMPILE_SECONDS, CORE_RATE, cost
from experiments.intervals import Interval
from experiments.readings import Reading, Verdict
from experiments.recipe import Setting
from experiments.scale import Scale
from experiments.scorecard import counts
from experiments.settings import batch, runs_of, stack
from transfer import Experiment
from transfer.engine.grouping import work

calculations: list[int] = []


def small_runs(data_dir):
    network = stack("digits", 4, 2)
    rule = pccore.PredictiveCoding(pccore.GradientDescent(2))
    config = pccore.TrainingConfig(network, rule, batch_size=32, steps=4, eval_every=2)
    return runs_of(
        "digits", "mupc", config, data_dir, weight_lrs=[0.1], activity_lrs=[1.0], seeds=[0, 1]
    )


def calculate(data_dir):
    calculations.append(1)
    return [{"quantity": "edge", "width": n, "value": 5.0 + 1 / n} for n in (2, 4)]


def searches():
    values = {
        "name": "search",
        "dataset": "digits",
        "variants": ["bp"],
        "training": {"steps": 3, "batch_size": 32},
        "tune": {"width": 4, "depth": 2, "weight_lr": [0.1, 0.01], "seeds": 1},
        "transfer": {"depths": [3]},
    }
    return [Experiment.from_dict(values)]


def edge(evidence):
    found = evidence.measured("edge", width=4)
    if not len(found):
        return None
    value = float(found["value"].iloc[0])
    return Judged(f"{value:.3f}", abs(value - 5) < 0.3)


def impossible(evidence):
    return Judged("two seeds", False) if len(evidence.trained(variant="mupc")) else None


RECIPE = Recipe(
    name="trial",
    title="a trial",
    source="T1",
    small=Setting("small things", small_runs, searches, calculate, datasets=("digits",)),
    full=Setting("large | things", datasets=("cifar10",)),
    claims=(
        Claim("the edge is 5", "T eq. 1", "5", "0.3", edge),
        Claim("it fails", "T fig. 1", "0", "none", impossible),
    ),
)


@pytest.fixture
def ledger(tmp_path):
    return results.open(tmp_path / "runs", create=True)


def test_recipe_runs_once(ledger, tmp_path):
    calculations.clear()
    with jobs.LocalPool(1) as pool:
        evidence = perform(RECIPE, Scale.SMALL, ledger, pool)
        again = perform(RECIPE, Scale.SMALL, ledger, pool)
    assert len(calculations) == 1
    assert len(evidence.trained(variant="mupc")) == 2
    assert set(evidence.runs["experiment"]) == {
        "reproduce-trial-small",
        "reproduce-trial-small-search",
    }
    assert len(evidence.verdicts) == 1
    assert set(evidence.curves["depth"]) >= {2}
    assert evidence.seconds > 0
    for name in ("runs", "curves", "measurements"):
        pd.testing.assert_frame_equal(getattr(evidence, name), getattr(again, name))


def test_changed_setting_is_calculated_again(ledger):
    calculations.clear()
    changed = Setting("other things", calculate=calculate)
    with jobs.LocalPool(1) as pool:
        for setting in (Setting("small things", calculate=calculate), changed, changed):
            recipe = Recipe("trial", "", "", setting, setting, RECIPE.claims)
            perform(recipe, Scale.SMALL, ledger, pool)
    assert len(calculations) == 2


def test_claims_are_judged_on_ledger_rows(ledger):
    rows = [{"quantity": "edge", "width": 4, "value": 5.1, "experiment": "reproduce-trial-small"}]
    now = pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()
    ledger.append_measurements([{"created": now, **row} for row in rows])
    first, second = scorecard([RECIPE], Scale.SMALL, ledger)
    assert (first.measured, first.verdict) == ("5.100", "reproduced")
    assert (second.verdict, second.note) == ("not run", "")
    assert second.measured.startswith("needs about ")
    full = scorecard([RECIPE], Scale.FULL, ledger)
    assert {line.measured for line in full} == {"needs the data set cifar10"}
    assert {(line.verdict, line.because) for line in full} == {("not testable here", "data")}


def test_claim_of_one_scale_is_judged_only_there(ledger):
    claim = Claim("it is far", "T1", "1", "0", lambda _: Judged("1", True), scale=Scale.FULL)
    runs = Setting("", small_runs)
    small, full = (
        scorecard([Recipe("trial", "", "", runs, runs, (claim,))], scale, ledger)[0]
        for scale in Scale
    )
    assert (small.verdict, small.because) == ("undecided at this size", "size")
    assert small.measured.startswith("needs the full scale, about ")
    assert full.verdict == "reproduced"


READING = Reading(Verdict.UNDECIDED, "size", "N is 4.", "N = 512", "an hour")
READINGS = {
    "undecided": (READING, "undecided at this size"),
    "contradicted": (
        replace(READING, verdict=Verdict.CONTRADICTED, because="proof"),
        "contradicted",
    ),
    "untestable": (
        replace(READING, verdict=Verdict.UNTESTABLE, because="machine"),
        "not testable here",
    ),
    "unread": (None, "undecided at this size"),
}


def judged(monkeypatch, ledger, holds, reading, scale=Scale.SMALL):
    """Return the line of a claim that was judged in this way."""
    known = {} if reading is None else {"it is": reading}
    module = importlib.import_module("experiments.scorecard")  # its function has the same name
    monkeypatch.setattr(module, "readings", lambda name: known)
    claim = Claim("it is", "T1", "1", "0", lambda _: Judged("2", holds))
    setting = Setting("", small_runs)
    recipe = Recipe("trial", "", "", setting, setting, (claim,))
    return scorecard([recipe], scale, ledger)[0]


@pytest.mark.parametrize("kind", READINGS)
def test_verdict_of_a_claim_that_does_not_hold_is_that_of_its_reading(monkeypatch, ledger, kind):
    reading, expected = READINGS[kind]
    line = judged(monkeypatch, ledger, False, reading)
    assert line.verdict == expected
    assert line.because == (reading.because if reading else "no reading yet")
    assert line.decides == ("N = 512: about an hour" if kind == "undecided" else "")


def test_verdict_of_an_interval_that_covers_the_limit_is_undecided(monkeypatch, ledger):
    line = judged(monkeypatch, ledger, None, READINGS["contradicted"][0])
    assert (line.verdict, line.because) == ("undecided at this size", "seeds")


def test_a_claim_that_holds_is_reproduced_unless_it_cannot_be_tested(monkeypatch, ledger):
    for kind, (reading, _) in READINGS.items():
        line = judged(monkeypatch, ledger, True, reading)
        expected = "not testable here" if kind == "untestable" else "reproduced"
        assert line.verdict == expected


def test_readings_are_of_the_small_scale(monkeypatch, ledger):
    line = judged(monkeypatch, ledger, False, READINGS["contradicted"][0], Scale.FULL)
    assert (line.verdict, line.because) == ("undecided at this size", "no reading yet")


def test_scorecard_shows_causes_and_counts(monkeypatch, ledger):
    card = [judged(monkeypatch, ledger, False, READING), judged(monkeypatch, ledger, True, None)]
    text = as_markdown(card)
    assert "**undecided at this size**" in text
    assert "*it is* (size) N is 4. Decides: N = 512: about an hour." in text
    assert counts(card) == (
        "2 claims: 1 reproduced, 0 contradicted, 1 undecided at this size, 0 not testable here"
    )
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_page_takes_recipes_of_the_ledger_and_keeps_the_others(monkeypatch, tmp_path, ledger):
    """A recipe with a claim that the ledger cannot judge keeps all that was measured before."""
    second = replace(RECIPE, name="second")
    calculated = Setting("", calculate=calculate)
    only = replace(RECIPE, name="only", claims=RECIPE.claims[:1], small=calculated)
    half = replace(only, name="half", small=Setting("", small_runs))  # none of its runs
    recipes = (RECIPE, second, only, half)
    before = {"measured": "5.000", "verdict": "reproduced", "seconds": 3.0}
    texts = [claim.text for claim in RECIPE.claims]
    record = {"trial": {"measured": "2020-01-01", "claims": dict.fromkeys(texts, before)}}
    now = pd.Timestamp("2026-01-02", tz="UTC").to_pydatetime()
    for name in ("trial", "only", "half"):
        known = {"experiment": f"reproduce-{name}-small", "created": now}
        ledger.append_measurements([{"quantity": "edge", "width": 4, "value": 5.1, **known}])
    card = scorecard(recipes, Scale.SMALL, ledger)
    found = scorecard_page.dates(recipes, card, Scale.SMALL, ledger)
    assert found == {"only": "2026-01-02"}
    after = scorecard_page.updated(record, card, found)
    assert after["trial"] == record["trial"]
    assert after["only"]["claims"][texts[0]]["measured"] == "5.100"
    assert {line["verdict"] for line in after["second"]["claims"].values()} == {"not run"}
    scorecard_page.dump(after, tmp_path / "record.json")
    assert scorecard_page.load(tmp_path / "record.json") == after
    written = scorecard_page.page(recipes, after)
    assert "**6 claims: 4 reproduced" in written
    assert "| 2020-01-01 | `trial` |" in written
    assert "| 2026-01-02 | `only` |" in written


def test_interval_of_a_mean_is_students():
    """1, 2, 3: mean 2, standard error 3^-1/2, and t of 2 degrees of freedom is 4.3027."""
    found = Interval.of([1, 2, 3])
    assert (found.mean, found.low) == pytest.approx((2, 2 - 4.302653 / 3**0.5))
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    assert [found.above(limit) for limit in (-1, 0, 5)] == [True, None, False]
    assert Interval.of([1.0]).above(0) is None


def test_cost_counts_runs_and_searches():
    runs = small_runs(None)
    assert cost(Setting("", small_runs), None).runs == 2
    arithmetic = sum(work(run.config) for run in runs) / CORE_RATE
    assert cost(Setting("", small_runs, seconds=100), None).core_seconds == pytest.approx(
        arithmetic + COMPILE_SECONDS + 100
    )
    # 2 cells at the tuned shape, at most 2 neighbours at the target
    assert cost(Setting("", experiments=searches), None).runs == 4


def test_missing_data_fails_before_anything_runs(ledger, tmp_path):
    calculations.clear()
    recipe = Recipe(
        "trial", "", "", Setting("", calculate=calculate, datasets=("mnist",)), RECIPE.full, ()
    )
    with jobs.LocalPool(1) as pool, pytest.raises(pccore.data.DatasetError, match="mnist"):
        perform(recipe, Scale.SMALL, ledger, pool, data_dir=tmp_path)
    assert calculations == []


def test_without_one_of_its_data_sets_a_recipe_runs_the_rest(ledger, tmp_path):
    calculations.clear()

    def runs(data_dir):
        found = small_runs(data_dir)
        return [*found, *(replace(run, dataset="mnist", digest="missing") for run in found)]

    setting = Setting("", runs, calculate=calculate, datasets=("digits", "mnist"))
    recipe = Recipe("trial", "", "", setting, setting, ())
    with jobs.LocalPool(1) as pool:
        evidence = perform(recipe, Scale.SMALL, ledger, pool, data_dir=tmp_path)
    assert evidence.runs["dataset"].tolist() == ["digits", "digits"]
    assert calculations == []


def test_empty_ledger_gives_empty_evidence(ledger):
    evidence = gather(ledger, "reproduce-trial-small")
    assert [len(frame) for frame in vars(evidence).values()] == [0, 0, 0, 0]
    assert evidence.seconds == 0


def test_batch_is_standardised():
    x, y = batch("digits", None, 5)
    data = pccore.data.load("digits")
    assert (x.shape, y.shape) == ((5, 64), (5, 10))
    assert y.argmax(1).tolist() == data.train_y[:5].tolist()
    assert x * data.std + data.mean == pytest.approx(data.train_x[:5].astype(float))

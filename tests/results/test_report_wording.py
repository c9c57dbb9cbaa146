"""Numbers and sentences of the report."""

from math import log, nan

import pytest
from synthetic_ledger import (
    FakeLedger,
    at_chance,
    curve,
    frame,
    run,
    seeds,
    verdict,
    verdicts,
)

from results.durations import duration
from results.figures.panels import panels
from results.landscape import Cell
from results.page import run_tables, verdict_table, wording
from results.page.sections import collect
from results.shapes import Shape
from results.vocabulary import RATES


def section(runs=(), judged=(), experiment="digits-relu"):
    rows = list(runs)
    curves = [point for row in rows for point in curve(row)]
    [only] = collect(FakeLedger(rows, curves, list(judged)), experiment)
    return only


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.06321, 0.00083, "0.0632 ± 0.0008"),
        (0.079, None, "0.0790"),
        (2.0, 0.25, "2.00 ± 0.25"),
        (123.4, nan, "123"),
        (0.0, None, "0.00e+00"),
        (3e-7, None, "3.00e-07"),
        (nan, nan, "–"),
    ],
)
def test_losses_have_three_digits_and_their_deviation_the_same_place(value, spread, text):
    assert wording.loss(value, spread) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (wording.excess(log(1.1)), "+10.0 %"),
        (wording.excess(0.0), "+0.0 %"),
        (wording.excess(log(0.95)), "−5.0 %"),
        (wording.excess(nan), "–"),
        (wording.interval(-1.0, 0.5), "[−1.00, +0.50]"),
        (wording.interval(log(0.9), log(1.2), ratio=True), "[−10.0, +20.0]"),
        (wording.interval(nan, 1.0), "at most +1.00"),
        (wording.interval(-0.5, nan), "at least −0.50"),
        (wording.interval(nan, nan), ""),
        (wording.octaves(-0.0), "+0.00"),
        (wording.octaves(-2.3219), "−2.32"),
        (wording.octaves(nan), "–"),
        (wording.percent(0.97234, 0.0031), "97.2 ± 0.3 %"),
        (wording.percent(0.5, nan), "50.0 %"),
        (wording.percent(nan), "–"),
        (wording.rates(Cell(0.1, 0.5)), "η = 0.1, β = 0.5"),
        (wording.rates(Cell(0.01, None)), "η = 0.01"),
        (wording.rates(None), "–"),
        (wording.whole(3564.0), "3,564"),
        (wording.whole(nan), "–"),
        (wording.listing(["16"]), "16"),
        (wording.listing(["16", "32", "64"]), "16, 32 and 64"),
        (wording.size(Shape(128, 8)).replace(wording.NBSP, " "), "N = 128, H = 8"),
        (duration(4.25), "4 s"),
        (duration(59.4), "59 s"),
        (duration(90.0), "1 min 30 s"),
        (duration(2.5 * 3600), "2 h 30 min"),
    ],
)
def test_formats_values(text, expected):
    assert text == expected


def headline(runs, judged):
    [line] = wording.headlines(section(runs, judged))
    return line.labels, line.sentence.replace(wording.NBSP, " ")


TUNED = seeds(0.1, 0.5, 0.1)
SHALLOW = {"layers": 129, "layers_learned": 32, "shallow": True}


@pytest.mark.parametrize(
    ("judged", "words", "sentence"),
    [
        (
            [verdict("held", 16, regret=0.0), verdict("held", 128, regret=log(1.05))],
            ["held"],
            "Transfer held at 16 and 128 layers (loss at most 5.0 % above the best found). "
            "Test accuracy 90.0 ± 1.0 % at N = 32, H = 128.",
        ),
        (
            [verdict("held", 16, regret=0.0), verdict("drifted", 64, regret=log(1.5))],
            ["held", "drifted"],
            "Transfer held at 16 layers (no other cell there was better); the optimum drifted at "
            "64 layers (loss 50.0 % above the best found). Test accuracy 90.0 ± 1.0 % at N = 32, "
            "H = 64.",
        ),
        (
            [verdict("drifted", 64, regret=None, loss=None, accuracy=None, accuracy_std=None)],
            ["drifted"],
            "The optimum drifted at 64 layers (the transferred cell did not train).",
        ),
        (
            # a regret without bound has no maximum
            [verdict("drifted", 32), verdict("drifted", 64, regret=None, accuracy=None)],
            ["drifted"],
            "The optimum drifted at 32 and 64 layers.",
        ),
        (
            [verdict("inconclusive", 64, best_loss=None, loss=None, regret=None, accuracy=None)],
            ["inconclusive"],
            "No cell trained at 64 layers.",
        ),
        (
            [verdict("untrained", 64, best_loss=None, loss=None, regret=None, accuracy=None)],
            ["untrained"],
            "No cell trained at 64 layers.",
        ),
        (
            [verdict("edge", 64, regret=0.0, accuracy=None)],
            ["edge"],
            "The optimum lies on the edge of the searched grid at 64 layers "
            "(no other cell there was better).",
        ),
        (
            [verdict("held", 128, regret=0.0, **SHALLOW)],
            ["held", "shallow"],
            "Transfer held at 128 layers (no other cell there was better). Test accuracy "
            "90.0 ± 1.0 % at N = 32, H = 128, where only 32 of 129 layers learned.",
        ),
        (
            [verdict("held", 8, width=w, regret=0.0, accuracy=None) for w in (64, 128)],
            ["held"],
            "Transfer held at N = 64, H = 8 and N = 128, H = 8 (no other cell there was better).",
        ),
    ],
)
def test_headlines_of_verdicts(judged, words, sentence):
    assert headline(TUNED, judged) == (words, sentence)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (
            seeds(0.1, 0.5, 0.1, 0.2),
            "No verdict yet: the best cell after 2 runs is η = 0.1, β = 0.5.",
        ),
        (
            [*seeds(0.1, 0.5, "diverged", "diverged"), at_chance(0.1, 5)],
            "No verdict: no cell trained in 3 runs (1 at chance and 2 diverged).",
        ),
        (seeds(0.1, None, 0.1), "No verdict yet: the best cell after 1 run is η = 0.1."),
    ],
)  # fmt: skip
def test_headlines_before_a_verdict(runs, sentence):
    assert headline(runs, []) == ([], sentence)


def test_numbers_of_a_verdict_row_match_the_columns():
    row = verdict("held", 128, runs_trained=24, runs_diverged=3, **SHALLOW)
    [group] = verdict_table.verdict_groups(section(TUNED, [row]))
    shown = dict(zip(verdict_table.verdict_columns(RATES), group.rows[0].numbers, strict=True))
    assert group.title.replace(wording.NBSP, " ") == (
        "μPC: transferred cell η = 0.1, β = 0.5, tuned at N = 32, H = 8"
    )
    assert (group.rows[0].label, group.rows[0].reason) == ("held", row["reason"])
    assert group.rows[0].flags == ["shallow"]
    assert shown == {
        "loss at the transferred cell": ("0.110", ""),
        "best loss found": ("0.100", "at η = 0.1, β = 1"),
        "loss above best": ("+10.0 %", "[+5.0, +20.0]"),
        "drift of η, octaves": ("+0.00", "[+0.00, +0.00]"),
        "drift of β, octaves": ("+1.00", "[+0.00, +1.00]"),
        "test accuracy": ("90.0 ± 1.0 %", ""),
        "layers that learned": ("32 of 129", ""),
        "min. loss (thesis)": ("0.0600", ""),
        "runs": ("24 trained, 3 diverged", "3 seeds, 9 cells"),
    }


def test_missing_numbers_are_dashes_not_zeros():
    keep = {"experiment", "variant", "dataset", "activation", "width", "depth"}
    empty = {name: None for name in verdict() if name not in keep}
    row = verdict() | empty | {"verdict": "inconclusive", "reason": "no cell trained"}
    [group] = verdict_table.verdict_groups(section(TUNED, [row]))
    assert group.title == "μPC: no cell to transfer"
    assert {value for value, _ in group.rows[0].numbers} == {"–"}
    assert {remark for _, remark in group.rows[0].numbers} == {""}


def test_groups_follow_the_order_of_variants():
    rows = [verdict(variant=v, depth=d) for v in ("bp", "mine", "sp", "mupc") for d in (64, 16)]
    groups = verdict_table.verdict_groups(section(TUNED, rows))
    assert [g.title.split(":")[0] for g in groups] == ["μPC", "SP", "BP", "mine"]
    targets = [row.target.replace(wording.NBSP, " ") for row in groups[0].rows]
    assert targets == ["N = 32, H = 16", "N = 32, H = 64"]


def test_run_counts_by_outcome():
    runs = [*seeds(0.1, 0.5, 0.1, "diverged", "failed"), at_chance(0.1, 5)]
    runs += seeds(0.1, 0.5, 0.1, depth=64)
    assert run_tables.counts_table(frame(*runs)).rows == [
        ["μPC", "tune", "1", "1", "1", "1", "4", "10 s"],
        ["μPC", "transfer", "1", "0", "0", "0", "1", "2 s"],
        ["all", "", "2", "1", "1", "1", "5", "12 s"],
    ]


def test_lists_failures_by_cause():
    unknown = run(0.5, 1, None, outcome="failed", cause=None)
    runs = [*seeds(0.1, 0.5, "failed", "failed"), unknown]
    found = run_tables.failures_table(frame(*runs))
    assert found is not None
    assert found.rows == [["worker lost: out of memory", "2"], ["no cause recorded", "1"]]
    assert run_tables.failures_table(frame(*TUNED)) is None


def settings(runs, judged=()):
    return dict(run_tables.settings_table(section(runs, judged)).rows)


def test_settings_give_beta_with_its_batch_size():
    rows = settings([*TUNED, run(0.01, None, 0.2, variant="bp")])
    assert rows["batch size B"] == "64"
    assert rows["β per sample, β/B"] == "μPC: 0.5/B = 0.00781"
    assert rows["inference"] == "gradient descent, as many steps as hidden layers (T = H)"
    assert rows["optimiser"] == "adam (b1 = 0.9, b2 = 0.999, eps = 1e-08)"
    assert rows["parameterisation"] == "μPC: mupc, BP: mupc"
    assert rows["activation"] == "relu, residual network"
    assert rows["versions"] == "mupc 0.1.0, JAX 0.10.2"
    assert "node-a" not in "".join(rows.values())  # how many machines, not which


def test_leaves_out_settings_without_a_value():
    rows = settings([run(0.01, None, 0.2, variant="bp")])
    assert "inference" not in rows
    assert "β per sample, β/B" not in rows


def test_fixed_inference_steps_are_named():
    rows = settings(seeds(0.1, 0.5, 0.1, inference_steps=20))
    assert rows["inference"] == "gradient descent, 20 steps"


def test_the_alternative_text_of_a_landscape_describes_its_marks():
    runs = [*seeds(0.1, 1, 0.2), *seeds(0.1, 5, 0.1), *seeds(0.5, 5, "diverged")]
    runs += seeds(0.1, 1, 0.15, depth=64)
    text = wording.landscape_alt("mupc", panels(frame(*runs), verdicts(), "mupc"))
    assert text.replace(wording.NBSP, " ") == (
        "Final training loss of μPC over the learning rates. "
        "N = 32, H = 8 (tuned here): cells 2 trained and 1 diverged, best at η = 0.1, β = 5, "
        "transferred cell η = 0.1, β = 5; "
        "N = 32, H = 64 (no verdict): cells 1 trained, best at η = 0.1, β = 1, "
        "transferred cell η = 0.1, β = 5."
    )

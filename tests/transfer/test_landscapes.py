"""The judge on plain arrays."""

import math

import numpy as np
import pytest

import transfer
from results.landscape import Landscape
from transfer import Cell, VerdictLabel
from transfer.judge.verdict import judge

RATES = np.array([[10.0**i, 10.0**j] for i in range(3) for j in range(3)])
NOISE = 0.02 * np.random.default_rng(0).normal(size=(9, 3))
BOWL = np.exp((np.log10(RATES) - 1) ** 2 @ [1.0, 1.0])[:, None] * np.exp(NOISE)


def test_arrays_have_the_verdict_of_their_landscapes() -> None:
    moved = BOWL[::-1] * np.linspace(1, 2, 9)[:, None]
    found = transfer.judge_landscapes((RATES, BOWL), (RATES, moved))
    cells = [Cell(*row) for row in RATES.tolist()]
    tuned, target = (Landscape.of_losses(cells, losses) for losses in (BOWL, moved))
    assert found == judge(tuned, target, Cell(10.0, 10.0), None, 0.1)
    assert found.regret is not None
    assert found.regret.bounded


def test_statuses_say_why_there_is_no_loss() -> None:
    """A failed run is missing; a diverged one costs the cell its place among the best."""
    better, words = BOWL.copy(), np.full(BOWL.shape, "trained")
    better[5] *= 0.2
    better[5, 0] = np.nan
    words = words.astype(object)
    words[5, 0] = "failed"
    missing = transfer.judge_landscapes((RATES, BOWL), (RATES, better, words))
    assert missing.label is VerdictLabel.DRIFTED
    words[5, 0] = "diverged"
    diverged = transfer.judge_landscapes((RATES, BOWL), (RATES, better, words))
    assert diverged.label is VerdictLabel.HELD


def test_one_rate_is_a_vector() -> None:
    eta = 10.0 ** np.arange(5)
    losses = np.exp((np.log10(eta) - 2) ** 2)[:, None] * np.exp(NOISE[:5])
    found = transfer.judge_landscapes((eta, losses), (eta[1:4], losses[1:4]), transferred=100.0)
    assert found.label is VerdictLabel.HELD
    assert found.drift is not None
    assert list(found.drift) == ["weight_lr"]


def test_default_cell_is_the_best_of_the_tuned_shape() -> None:
    assert transfer.judge_landscapes((RATES, BOWL), (RATES, BOWL)).cell == Cell(10.0, 10.0)
    nothing = transfer.judge_landscapes((RATES, np.full((9, 3), np.nan)), (RATES, BOWL))
    assert "no cell trained at the tuned shape" in nothing.reason


def test_law_of_arrays() -> None:
    """eta* falls as 1 / L: from L = 4 to 16 by a factor of four."""
    eta = 2.0 ** np.arange(-8.0, 3.0)
    runs = {}
    for depth in (3, 7, 15):
        away = np.log(eta) + math.log((depth + 1) / 8) + 2.0
        runs[32, depth] = (eta, np.exp(0.3 * away**2)[:, None] * np.exp(0.01 * NOISE[:1]))
    law = transfer.fit_landscapes((32, 7), runs)
    exponent = law.exponents["weight_lr"]["depth"]
    assert exponent.value == pytest.approx(-1, abs=0.02)
    assert transfer.determined(exponent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tuned": (RATES[:, :1, None], BOWL)}, r"rates must have the shape .*, got \(9, 1, 1\)"),
        ({"tuned": (RATES, BOWL[:4])}, r"losses must have the shape \(9, S\), got \(4, 3\)"),
        ({"tuned": (-RATES, BOWL)}, "rates must be positive"),
        ({"tuned": (RATES, BOWL, np.full((9, 3), "lost"))}, "statuses must be .*, got 'lost'"),
        ({"tuned": (RATES, BOWL, ["trained"] * 9)}, r"statuses must have the shape \(9, 3\)"),
        ({"transferred": (3.0, 3.0)}, "the transferred cell, eta 3, beta 3, must be one of"),
    ],
)
def test_rejects_arrays_that_do_not_agree(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transfer.judge_landscapes(**({"tuned": (RATES, BOWL), "target": (RATES, BOWL)} | change))

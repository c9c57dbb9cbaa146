"""Judges of the recipe about other rules at depth, on made-up evidence; small spectra."""

import made_up_measurements as made_up
import pytest

from experiments.recipes import frontier
from experiments.recipes.frontier import BIDIRECTIONAL, EP, HYBRID, PC, VARIANTS

EXPONENTS = {PC: 2.0, HYBRID: 2.0, BIDIRECTIONAL: 1.0, EP: 1.0}


def spectra(lowest=-0.1, **powers):
    """Yield condition numbers 8 L at L = 129 that follow a power of L, and lowest eigenvalues."""
    exponents = {**EXPONENTS, **powers}
    for activation in ("linear", "tanh"):
        for variant in VARIANTS:
            for depth in frontier.DEPTHS:
                for seed, off in enumerate((1, 1.1)):
                    kappa = off * 8 * 129 * ((depth + 1) / 129) ** exponents[variant]
                    at = {"variant": variant, "activation": activation, "depth": depth}
                    yield {"quantity": frontier.KAPPA, "value": kappa, "seed": seed, **at}
                    yield {"quantity": frontier.SMALLEST, "value": lowest, "seed": seed, **at}


def runs(**learned):
    """Return two seeds of every rule; `learned` layers of 129 or 258."""
    known = {PC: 40, HYBRID: 258, BIDIRECTIONAL: 258, EP: 20} | learned
    return [
        {
            "variant": variant,
            "depth": 128,
            "layers_learned": count,
            "layers": 258 if variant in (HYBRID, BIDIRECTIONAL) else 129,
            "seed": seed,
        }
        for variant, count in known.items()
        for seed in range(2)
    ]


def verdicts(seen):
    (recipe,) = frontier.FRONTIER
    return [claim.judge(seen).holds for claim in recipe.claims]


@pytest.mark.parametrize(
    ("rows", "trained", "holds"),
    [
        ({}, {}, [True] * 7),
        ({BIDIRECTIONAL: 2.0}, {}, [False] + [True] * 6),
        ({HYBRID: 1.0}, {}, [False, True, False] + [True] * 4),
        ({"lowest": 0.1}, {}, [True] * 3 + [False] * 2 + [True] * 2),
        ({}, {PC: 65}, [True] * 5 + [False, True]),
        ({}, {HYBRID: 257}, [True] * 5 + [False, True]),
        ({}, {EP: 65}, [True] * 6 + [False]),
    ],
)
def test_claims(rows, trained, holds):
    assert verdicts(made_up.measured(spectra(**rows), runs(**trained))) == holds


def test_eight_times_the_layers_is_two_sided():
    for factor, holds in ((1.0, True), (1.4, False), (0.6, False)):
        rows = [{**row, "value": factor * row["value"]} for row in spectra()]
        judged = frontier.is_eight_times_the_layers(made_up.measured(rows))
        assert judged.holds is holds


def test_no_verdict_without_evidence():
    (recipe,) = frontier.FRONTIER
    assert [claim.judge(made_up.measured([])) for claim in recipe.claims] == [None] * 7

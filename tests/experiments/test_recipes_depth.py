"""Judges of the recipes about depth, on evidence with a known verdict."""

import numpy as np
import pytest
from made_up_evidence import NOTHING, evidence, seeds

from experiments.recipes import effective_depth as law
from experiments.recipes import published_depth as published


def descent(variant, depth, steps, beta, learned=None):
    """A run whose number of layers that learned is 2 + 6 sqrt(beta T / B) unless it is given."""
    if learned is None:
        learned = 2 + 6 * np.sqrt(beta * steps / 64)
    return {
        "variant": variant, "depth": depth, "layers": depth + 1, "inference_steps": steps,
        "activity_lr": beta, "layers_learned": learned,
    }  # fmt: skip


FITTED = [
    descent(law.FITTED, depth, steps, beta)
    for depth in (16, 32)
    for steps in (16, 32)
    for beta in (1.0, 2.0, 4.0)
]
AT_LIMITS = [  # all layers, and as many as steps
    descent(law.FITTED, 16, 32, 60.0, learned=17),
    descent(law.FITTED, 32, 8, 60.0, learned=8),
]


def test_law_is_fitted_to_settings_below_both_limits():
    found = law.unsaturated(evidence(FITTED + AT_LIMITS), law.FITTED)
    assert len(found) == len(FITTED)
    np.testing.assert_allclose(law.law(found), [2, 6], rtol=1e-6)
    np.testing.assert_allclose(law.interval(found), [[2, 6], [2, 6]], rtol=1e-6)


@pytest.mark.parametrize(("off", "holds"), [(1.09, True), (1.12, False), (0.88, False)])
def test_law_is_judged_at_other_shapes(off, holds):
    other = descent(law.UNSEEN, 64, 64, 4.0)
    other["layers_learned"] /= off
    judged = law.predicts_unseen(evidence([*FITTED, other]))
    assert judged.holds is holds
    assert "12 settings" in judged.measured


def best(depth, learned, loss):
    return {
        "variant": law.BEST, "depth": depth, "layers": depth + 1, "layers_learned": learned,
        "final_train_loss": loss,
    }  # fmt: skip


@pytest.mark.parametrize(("deepest", "holds"), [(9, True), (10, False)])
def test_number_of_layers_at_the_best_cell(deepest, holds):
    """A cell of which one seed did not train is not the best, and 8 layers are not judged."""
    rows = [best(8, 2, 0.1), best(16, 7, 0.1), best(32, 8, 0.1), best(64, deepest, 0.2)]
    rows += [best(64, 60, 0.3) | {"weight_lr": 0.5}, best(64, 60, 0.1) | {"weight_lr": 0.9}]
    rows += [best(64, 60, None) | {"weight_lr": 0.9, "seed": 1}]
    assert law.best_keeps_the_number(evidence(rows)).holds is holds


def test_without_runs_nothing_is_judged():
    assert law.predicts_unseen(NOTHING) is None
    assert law.best_keeps_the_number(NOTHING) is None
    assert published.is_published(NOTHING, "bp") is None
    assert published.reaches(NOTHING, [8]) is None


@pytest.mark.parametrize(("accuracy", "holds"), [(0.7776, True), (0.7768, True), (0.7664, False)])
def test_published_accuracy_is_within_a_point(accuracy, holds):
    runs = seeds(dataset="fashion_mnist", variant="lagrangian", test_accuracy=accuracy)
    assert published.is_published(evidence(runs), "lagrangian").holds is holds
    assert published.is_published(evidence(runs[:2]), "lagrangian") is None


@pytest.mark.parametrize(
    ("mupc", "bp", "learned", "holds"),
    [
        (0.95, 0.96, 9, True),
        (0.95, 0.96, 8, False),  # a layer did not learn
        (0.935, 0.94, 9, False),  # below 94 %
        (0.95, 0.97, 9, False),  # 2 points behind
    ],
)
def test_depth_is_judged_by_accuracy_distance_and_layers(mupc, bp, learned, holds):
    runs = seeds(variant="mupc", test_accuracy=mupc, layers_learned=learned)
    runs += seeds(variant="mupc", weight_lr=0.5, test_accuracy=0.5, layers_learned=3)
    runs += seeds(variant="bp", test_accuracy=bp)
    assert published.reaches(evidence(runs), [8]).holds is holds
    assert published.reaches(evidence(runs), [8, 16]) is None

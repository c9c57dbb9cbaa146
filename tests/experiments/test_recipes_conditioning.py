"""Judges of the conditioning recipes, on made-up evidence with verdicts known in advance."""

import itertools

import numpy as np
import pytest
from made_up_measurements import measured

from experiments import RECIPES
from experiments.recipes import activity_decay, conditioning, conditioning_training

NAMES = ("conditioning", "activity-decay", "conditioning-training")
NOTHING = measured([])


def grid(kappa, variants=("sp",), activations=conditioning.ACTIVATIONS):
    """Return evidence of kappa(variant, width, depth) for two seeds at four sizes."""
    return measured(
        {
            "quantity": conditioning.KAPPA, "variant": variant, "activation": phi, "width": width,
            "depth": depth, "seed": seed, "value": kappa(variant, width, depth),
        }
        for variant, phi, width, depth, seed in itertools.product(
            variants, activations, (8, 32), (2, 32), (0, 1)
        )
    )  # fmt: skip


def smallest(values, activation="linear"):
    return measured(
        {"quantity": conditioning.SMALLEST, "activation": activation, "value": value}
        for value in values
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_verdict_without_evidence(name):
    for claim in RECIPES[name].claims:
        assert claim.judge(NOTHING) is None


@pytest.mark.parametrize(
    ("judge", "holds", "fails"),
    [
        (conditioning.grows_with_depth, lambda _v, n, h: h, lambda _v, n, h: 1 + h / 100),
        (conditioning.grows_with_width, lambda _v, n, h: n, lambda _v, n, h: 1 / n),
        (conditioning.depth_matters_more, lambda _v, n, h: n * h, lambda _v, n, h: n**3 * h),
    ],
)
def test_growth_with_depth_and_width(judge, holds, fails):
    assert judge(grid(holds)).holds
    assert not judge(grid(fails)).holds


def test_growth_is_geometric_mean_over_other_size():
    found = conditioning.growths(grid(lambda _v, n, h: 3.0 if (n, h) == (8, 2) else 12.0), "sp")
    # with depth x4 at one width and x1 at the other; likewise with width
    assert found["relu"] == pytest.approx((2, 2))


@pytest.mark.parametrize(("ratio", "holds"), [(100, True), (2, False)])
def test_skips_are_compared_in_largest_network(ratio, holds):
    found = grid(
        lambda variant, n, h: ratio if variant == "sp with skips" and (n, h) == (32, 32) else 1.0,
        ("sp", "sp with skips"),
    )
    assert conditioning.residual_is_worse(found).holds == holds


@pytest.mark.parametrize(("ratio", "holds"), [(0.2, True), (0.02, False), (20, False)])
def test_similarity_is_same_order_of_magnitude(ratio, holds):
    found = grid(
        lambda variant, n, h: ratio if variant == "mupc" else 1.0,
        ("sp with skips", "mupc", "orthogonal"),
    )
    assert conditioning.similar_to_residual_sp(found).holds == holds


def test_convexity_allows_no_exception():
    assert conditioning.positive(smallest([0.1, 0.2]), ("linear",)).holds
    assert not conditioning.positive(smallest([0.1, -0.2]), ("linear",)).holds
    assert conditioning.positive(smallest([0.1], "relu"), ("linear",)) is None


def test_decay_bounds_smallest_eigenvalue():
    assert activity_decay.decay_bounds(smallest([1.0, 1.3])).holds
    assert not activity_decay.decay_bounds(smallest([0.9, 1.3])).holds


@pytest.mark.parametrize(
    ("accuracies", "holds"),
    [((0.9, 0.1, 0.1, 0.1), True), ((0.9, 0.1, 0.5, 0.1), False), ((0.1, 0.1, 0.1, 0.1), False)],
)
def test_networks_are_untrainable_only_with_decay(accuracies, holds):
    runs = [{"variant": f"decay {alpha:g}"} for alpha in activity_decay.DECAYS]
    curves = [
        (place, {"step": [50, 100], "test_accuracy": [0.05, best]})
        for place, best in enumerate(accuracies)
    ]
    assert activity_decay.decay_untrainable(measured([], runs, curves)).holds == holds
    assert activity_decay.decay_untrainable(measured([], runs[:2], curves[:2])) is None


def course(*runs):
    """Return evidence of runs (variant, activation, depth, beta, accuracy, kappa by step)."""
    names = ("variant", "activation", "depth", "activity_lr", "test_accuracy")
    rows = [
        {
            "quantity": conditioning.KAPPA, "run_id": str(place), "variant": run[0],
            "activation": run[1], "depth": run[2], "step": step, "value": value,
        }
        for place, run in enumerate(runs)
        for step, value in enumerate(run[5])
    ]  # fmt: skip
    return measured(rows, [dict(zip(names, run[:5], strict=True)) for run in runs])


def grows(evidence):
    return conditioning_training.grows(evidence, "mnist", "sp", ("linear",))


def test_growth_in_training_uses_best_beta():
    found = course(
        ("sp", "linear", 8, 0.5, 0.9, [10, 30]),
        ("sp", "linear", 8, 0.1, 0.5, [10, 5]),
    )
    assert grows(found).holds
    assert not grows(course(("sp", "linear", 8, 0.5, 0.9, [10, 15]))).holds
    assert grows(course(("sp", "tanh", 8, 0.5, 0.9, [10, 30]))) is None


def test_figures_have_a_row_of_condition_numbers_and_one_of_accuracies():
    """Those of the tuned runs: the other beta's curve is not drawn."""
    (recipe,) = conditioning_training.CONDITIONING_TRAINING
    runs = [
        {"variant": "sp", "activity_lr": beta, "test_accuracy": best, "depth": 8}
        for beta, best in ((0.5, 0.9), (0.1, 0.5))
    ]
    curves = [(place, {"step": [10, 20], "test_accuracy": [0.3, best]})
              for place, best in enumerate((0.9, 0.5))]  # fmt: skip
    figure = recipe.figures["fig-5.3-sp-mnist-accuracy"](measured([], runs, curves))
    (drawn,) = figure.axes[0].get_lines()
    np.testing.assert_allclose(drawn.get_ydata(), [30, 90])
    assert {name.removesuffix("-accuracy") for name in recipe.figures} <= set(recipe.figures)


def test_diverged_run_ends_at_last_finite_value():
    assert grows(course(("sp", "linear", 8, 0.5, float("nan"), [10, 50, float("nan")]))).holds


@pytest.mark.parametrize(("kappa", "holds"), [([1, 9, 3], True), ([1, 9, 8], False)])
def test_spike_must_fall_again(kappa, holds):
    found = course(("sp", "linear", 8, 0.5, 0.9, kappa))
    assert conditioning_training.spikes(found, "sp").holds == holds


@pytest.mark.parametrize(("ends", "holds"), [((10, 20), True), ((20, 10), False)])
def test_deeper_networks_are_worse_conditioned(ends, holds):
    found = course(
        ("sp", "linear", 8, 0.5, 0.9, [1, ends[0]]), ("sp", "linear", 16, 0.5, 0.9, [1, ends[1]])
    )
    assert conditioning_training.deeper_is_worse(found).holds == (holds)


@pytest.mark.parametrize(
    ("kappa", "accuracy", "worse", "less"),
    [(300, 0.8, True, True), (3, 0.8, False, True), (300, 0.9, True, False)],
)
def test_kinds_are_compared_with_sp(kappa, accuracy, worse, less):
    def against(variant):
        return course(
            ("sp", "linear", 8, 0.5, 0.9, [5, 5]), (variant, "linear", 8, 0.5, accuracy, [kappa])
        )

    skips, adam = against("sp with skips"), against("sp adam")
    assert conditioning_training.skips_are_worse_conditioned(skips).holds == worse
    assert conditioning_training.skips_keep_accuracy(skips).holds != less
    assert conditioning_training.adam_is_worse_conditioned(adam).holds == (kappa > 5)
    assert conditioning_training.adam_is_less_accurate(adam).holds == less


@pytest.mark.parametrize(("last", "stable"), [(11, True), (40, False)])
def test_orthogonal_linear_networks_stay_conditioned(last, stable):
    found = course(("orthogonal", "linear", 8, 0.5, 0.9, [10, last]))
    assert conditioning_training.linear_orthogonal_is_stable(found).holds == stable


@pytest.mark.parametrize(("one", "holds"), [(0.5, True), (0.9, False)])
def test_one_step_is_compared_with_one_per_layer(one, holds):
    many = ("mupc", "tanh", 8, 0.5, 0.9, [1])
    found = course(many, ("mupc one step", "tanh", 8, 0.5, one, [1]))
    assert conditioning_training.one_step_is_less_accurate(found).holds == holds
    assert conditioning_training.one_step_is_less_accurate(course(many)) is None

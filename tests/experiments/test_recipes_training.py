"""Judges of chapter 5's training recipes on made-up evidence, and their networks."""

import pytest
from made_up_evidence import NOTHING, evidence, seeds

from experiments import RECIPES
from experiments.accuracy import Training, accuracy, best_cells, classifiers
from experiments.recipes import deepest, depth, exact_inference, optima, transfer_rates, width
from transfer.spec.building import trace

NAMES = [
    *("depth", "one-inference-step", "depth-128-mnist", "depth-128-fashion", "depth-128-cifar"),
    *("width", "exact-inference", "transfer-depth", "transfer-width", "optima"),
]
ACTIVATIONS = ("linear", "tanh", "relu")


def by_depth(accuracies, activations=ACTIVATIONS):
    """Return runs of every variant at 8 and 64 layers; an accuracy of None means diverged."""
    return evidence(
        run
        for activation in activations
        for variant, pair in accuracies.items()
        for depth, value in zip((8, 64), pair, strict=True)
        for run in seeds(
            variant=variant,
            activation=activation,
            depth=depth,
            test_accuracy=float("nan") if value is None else value,
            outcome="diverged" if value is None else "trained",
        )
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_verdict_without_evidence(name):
    for claim in RECIPES[name].claims:
        assert claim.judge(NOTHING) is None


def test_diverged_run_counts_as_chance():
    found = evidence([{"seed": 0, "test_accuracy": 0.9}, {"seed": 1, "test_accuracy": 0.7}])
    assert accuracy(found) is None  # two seeds of three
    runs = [*seeds(2, test_accuracy=0.8), {"seed": 2, "test_accuracy": float("nan")}]
    assert accuracy(evidence(runs)) == pytest.approx((80 + 80 + 10) / 3)


def test_best_cell_has_highest_mean_among_complete_cells():
    runs = seeds(weight_lr=0.1, test_accuracy=0.8) + seeds(weight_lr=0.5, test_accuracy=0.6)
    runs += [{"weight_lr": 0.01, "test_accuracy": 0.99}]
    assert set(best_cells(evidence(runs).runs)["weight_lr"]) == {0.1}


def test_bp_without_beta_is_a_cell():
    runs = seeds(variant="bp", activity_lr=float("nan"), test_accuracy=0.8)
    assert accuracy(evidence(runs), variant="bp") == pytest.approx(80)


def test_depth_claims():
    good = by_depth({"mupc": (0.9, 0.88), "sp": (0.85, None), "bp": (0.94, 0.92)})
    bad = by_depth({"mupc": (0.9, 0.86), "sp": (0.85, 0.5), "bp": (0.94, 0.92)})
    judges = (
        depth.mupc_trains_at_every_depth,
        depth.sp_stays_at_chance,
        depth.mupc_is_comparable_with_bp,
    )
    for judge in judges:
        assert judge(good).holds
        assert not judge(bad).holds
        assert judge(by_depth({"mupc": (0.9, 0.9)}, ["relu"])) is None


def test_one_step_claims():
    def found(many, one):
        return by_depth({"mupc": many, depth.ONE: one}, ["relu"])

    noisy = found((0.9, 0.85), (0.8, 0.78))
    apart = noisy.runs["variant"] == depth.ONE
    noisy.runs.loc[apart, "test_accuracy"] += (
        0.02 * noisy.runs["seed"] * (noisy.runs["depth"] == 64)
    )
    assert depth.one_step_degrades_with_depth(noisy).holds is None  # falls by 2, 0 and -2 points

    assert depth.one_step_is_worse(found((0.9, 0.85), (0.8, 0.7))).holds
    assert not depth.one_step_is_worse(found((0.9, 0.85), (0.8, 0.86))).holds
    assert depth.one_step_degrades_with_depth(found((0.9, 0.85), (0.8, 0.7))).holds
    assert not depth.one_step_degrades_with_depth(found((0.9, 0.85), (0.8, 0.81))).holds


def at_128(accuracies, steps=200, curve=(0.2, 0.5, 0.8), bp=0.9):
    runs = [
        {"depth": 128, "seed": seed, "steps": steps, "test_accuracy": value}
        for seed, value in enumerate(accuracies)
    ]
    runs += seeds(variant="bp", depth=128, steps=steps, test_accuracy=bp)
    points = {"step": range(len(curve)), "test_accuracy": curve}
    return evidence(runs, [(place, points) for place in range(len(accuracies))])


def test_claims_at_128_layers():
    reaches, competes, steady = RECIPES["depth-128-mnist"].claims
    assert reaches.judge(at_128([0.99, 0.99, 0.99])) is None
    assert competes.judge(at_128([0.86, 0.87, 0.89])).holds  # BP has 90%
    assert not competes.judge(at_128([0.86, 0.86, 0.88])).holds
    five_epochs = 5 * 937
    assert not reaches.judge(at_128([0.9, 0.9, 0.9], five_epochs)).holds
    assert reaches.judge(at_128([0.975, 0.97, 0.98], five_epochs)).holds
    assert reaches.judge(at_128([0.9, 0.9])) is None
    assert steady.judge(at_128([0.8] * 3)).holds
    assert not steady.judge(at_128([0.8] * 3, curve=(0.2, 0.8, 0.7))).holds
    assert not steady.judge(at_128([0.8] * 3, curve=(0.2, 0.8, float("nan")))).holds


def test_cifar_claims():
    assert deepest.lags_behind_bp(at_128([0.3] * 3, bp=0.35)).holds
    assert not deepest.lags_behind_bp(at_128([0.4] * 3, bp=0.35)).holds
    assert not deepest.lags_behind_bp(at_128([0.2] * 3, bp=0.35)).holds


def of_widths(percents):
    return evidence(
        run
        for activation in ACTIVATIONS
        for place, percent in enumerate(percents)
        for run in seeds(width=32 * 2**place, activation=activation, test_accuracy=percent / 100)
    )


def test_wider_networks_are_more_accurate():
    assert width.wider_is_better(of_widths([80, 85, 84.8, 90])).holds
    assert not width.wider_is_better(of_widths([80, 85, 84, 90])).holds
    assert not width.wider_is_better(of_widths([80, 79.9, 79.8, 79.7])).holds
    assert width.wider_is_better(of_widths([80])) is None


def exact(losses, starts=(1.0, 20.0), accuracy=0.1):
    runs, curves = [], []
    for place, depth_ in enumerate((8, 32)):
        runs += seeds(variant="sp", depth=depth_, test_accuracy=accuracy)
        runs += seeds(variant=exact_inference.UNTRAINED, depth=depth_)
        points = {"step": range(len(losses)), "train_loss": losses, "test_loss": losses}
        curves += [(6 * place + seed, points) for seed in range(3)]
        untrained = {"step": [0], "train_loss": [float("nan")], "test_loss": [starts[place]]}
        curves += [(6 * place + 3 + seed, untrained) for seed in range(3)]
    return evidence(runs, curves)


def test_exact_inference_claims():
    falling, rising = exact([4, 2, 1]), exact([4, 2, 3])
    for judge in (exact_inference.training_loss_falls, exact_inference.test_loss_falls):
        assert judge(falling).holds
        assert not judge(rising).holds
        assert not judge(exact([4, 2, 4.5])).holds
        noisy = exact([4, 2, 1, 1])  # seeds disagree about the last change
        last = noisy.curves["step"] == 3
        for column in ("train_loss", "test_loss"):
            noisy.curves.loc[last, column] = 1 + 0.1 * (noisy.curves.loc[last, "seed"] - 1)
        assert judge(noisy).holds
        one_diverged = exact([4, 2, 1])
        one_diverged.runs.loc[0, "outcome"] = "diverged"
        assert not judge(one_diverged).holds
    assert exact_inference.test_loss_starts_higher(falling).holds
    assert not exact_inference.test_loss_starts_higher(exact([4, 2], (1.0, 5.0))).holds
    assert exact_inference.deepest_at_chance(falling).holds
    assert not exact_inference.deepest_at_chance(exact([4, 2], accuracy=0.6)).holds


def test_transfer_must_hold_at_every_target():
    held = [{"depth": depth} for depth in (16, 32)]
    assert transfer_rates.all_held(evidence(verdicts=held)).holds
    drifted = [*held, {"depth": 64, "verdict": "drifted", "regret": float("nan")}]
    judged = transfer_rates.all_held(evidence(verdicts=drifted))
    assert not judged.holds
    assert "relu 32 x 64 drifted" in judged.measured


@pytest.mark.parametrize(("there", "holds"), [(0.054, True), (0.06, False)])
def test_transfer_by_smallest_loss_uses_best_cell_at_target(there, holds):
    def shape(depth_, losses):
        return [
            {"width": 32, "depth": depth_, "activity_lr": beta, "min_train_loss": loss}
            for beta, loss in losses.items()
        ]

    runs = shape(8, {10.0: 0.04, 5.0: 0.06}) + shape(16, {10.0: there, 5.0: 0.05})
    judged = transfer_rates.held_by_smallest_loss(evidence(runs, verdicts=[{"depth": 16}]))
    assert judged.holds is holds


def searched(best):
    """Return every cell of the small grid with two seeds; `best` is 0.05 below the others."""
    return evidence(
        run
        for activation in ACTIVATIONS
        for eta in optima.ETAS
        for beta in optima.SMALL_BETAS
        for run in seeds(
            2,
            activation=activation,
            weight_lr=eta,
            activity_lr=beta,
            final_train_loss=0.1 if (eta, beta) == best else 0.15,
        )
    )


def test_optima_tolerate_one_grid_place():
    eta, beta = (claim.judge for claim in RECIPES["optima"].claims[:2])
    assert eta(searched((0.1, 1.0))).holds
    assert eta(searched((0.05, 1.0))).holds
    assert not eta(searched((0.01, 1.0))).holds
    assert beta(searched((0.1, 1.0))).holds
    assert not beta(searched((0.1, 10.0))).holds
    assert eta(evidence(seeds(2, activation="linear"))) is None


@pytest.mark.parametrize("variant", ["mupc", "sp", "bp", depth.ONE])
def test_variants_determine_networks(variant):
    training = Training(steps=2, eval_every=1, inference_steps=1 if variant == depth.ONE else None)
    rates = ([0.1], [1.0])
    run, *_ = classifiers("digits", variant, (4, 3), rates, training, None, activation="tanh")
    trace(run.config)
    assert run.determinants["parameterisation"] == ("sp" if variant == "sp" else "mupc")
    assert run.determinants["rule"] == ("bp" if variant == "bp" else "pc")
    steps = {"bp": None, depth.ONE: 1}
    assert run.determinants["inference_steps"] == steps.get(variant, 3)
    assert (run.lane.activity_lr is None) is (variant == "bp")


def test_one_step_recipe_shares_runs_with_depth_recipe():
    ids = [{run.run_id for run in RECIPES[name].small.runs(None)} for name in NAMES[:2]]
    shared = ids[0] & ids[1]
    assert len(shared) == 3 * 2 * 3  # depths, cells, seeds

"""Recipes of spectra, forward passes, trajectories and the loss-energy ratio.

Judges get made-up evidence; small calculations are compared with theory.
"""

import itertools
import json

import numpy as np
import pytest
from made_up_measurements import measured

import pccore
from experiments import RECIPES
from experiments.activity_conditioning import KAPPA
from experiments.recipes import forward_pass, loss_energy, random_matrices, trajectories

NAMES = (
    *("random-matrices", "forward-norms", "desiderata", "loss-energy-ratio"),
    "activity-trajectories",
)
NOTHING = measured([])


@pytest.mark.parametrize("name", NAMES)
def test_no_verdict_without_evidence(name):
    for claim in RECIPES[name].claims:
        assert claim.judge(NOTHING) is None


def test_hessian_is_sum_of_diagonal_and_off_diagonal_blocks():
    config = pccore.NetworkConfig(
        3, 3, 3, 4, activation="linear", residual=False, parameterisation="sp_gaussian"
    )
    found = random_matrices.eigenvalues(config)
    assert np.all(found["D"] >= 1 - 1e-12)  # I + a^2 W^T W
    assert found["O"].sum() == pytest.approx(0, abs=1e-12)  # no diagonal
    assert found["H"].sum() == pytest.approx(found["D"].sum())
    assert found["H"].min() > 0  # thm. A.1


def spectra(sizes=((16, 128),), **extremes):
    """Return evidence of extreme eigenvalues of the Hessian's parts."""
    size = {"depth": 16, "width": 128}
    rows = [{"quantity": "H_largest", "variant": "ntp", **size, "value": 6.5}]
    rows += [
        {"quantity": name, "variant": "sp", "depth": depth, "width": width, "value": value}
        for (depth, width), (name, value) in itertools.product(sizes, extremes.items())
    ]
    return measured(rows)


@pytest.mark.parametrize(
    ("judge", "name", "good", "bad"),
    [
        (random_matrices.weyl_is_tight, "H_largest", 6.6, 7.4),
        (random_matrices.broader_than_semicircle, "O_largest", 2.5, 3.2),
        (random_matrices.lower_bound_is_loose, "H_smallest", 0.01, -0.01),
    ],
)
def test_extreme_eigenvalues(judge, name, good, bad):
    assert judge(spectra(**{"H_largest": 6.5, name: good})).holds
    assert not judge(spectra(**{"H_largest": 6.5, name: bad})).holds


@pytest.mark.parametrize(("low", "high", "holds"), [(1.0, 5.2, True), (1.2, 5.0, False)])
def test_edges_of_diagonal_blocks(low, high, holds):
    found = spectra(H_largest=6.5, D_smallest=low, D_largest=high)
    assert random_matrices.diagonal_edges(found).holds == holds


def test_density_distance_is_total_variation():
    length = (random_matrices.EXTENT[1] - random_matrices.EXTENT[0]) / random_matrices.BINS
    found = measured(
        {"quantity": "D_density", "variant": v, "settings": str(at), "value": value / length}
        for v, heights in (("sp", (1, 0)), ("ntp", (0.75, 0.25)))
        for at, value in enumerate(heights)
    )
    apart = random_matrices.distance(found, "D", {"variant": "sp"}, {"variant": "ntp"})
    assert apart == pytest.approx(0.25)


def norms(last, activations=forward_pass.ACTIVATIONS, variant="mupc"):
    """Return evidence of RMS activities of the last of 4 and of 64 layers."""
    return measured(
        {
            "quantity": "forward_rms", "variant": variant, "activation": phi, "depth": depth,
            "layer": depth, "value": value,
        }
        for phi in activations
        for depth, value in ((4, 1.0), (64, last))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "good", "bad"),
    [("sp", 0.01, 0.9), ("sp with skips", 50, 1.5), ("mupc", 1.5, 3), ("orthogonal", 0.9, 0.1)],
)
def test_forward_passes_vanish_explode_or_stay_constant(variant, good, bad):
    (claim, *_) = (
        claim
        for claim in RECIPES["forward-norms"].claims
        if claim.judge(norms(good, variant=variant)) is not None
    )
    assert claim.judge(norms(good, variant=variant)).holds
    assert not claim.judge(norms(bad, variant=variant)).holds
    assert claim.judge(norms(good, ("linear",), variant)) is None


def initial(**networks):
    """Return evidence of largest and smallest RMS activity and kappa, at two depths."""
    quantities = ("forward_rms_max", "forward_rms_min", KAPPA)
    return measured(
        {
            "quantity": quantity, "variant": variant.replace("_", " "), "depth": depth, "step": 0,
            "run_id": variant, "value": value,
        }
        for variant, at_depths in networks.items()
        for depth, values in zip((8, 32), at_depths, strict=True)
        for quantity, value in zip(quantities, values, strict=True)
    )  # fmt: skip


STABLE = ((1.2, 0.8, 50), (1.5, 0.7, 5000))
VANISHING = ((0.6, 0.1, 20), (0.6, 1e-6, 40))


def test_desiderata_at_initialisation():
    found = initial(orthogonal=STABLE, mupc=STABLE, sp=VANISHING, sp_with_skips=VANISHING)
    assert forward_pass.stable_at_first(found, ("mupc",), expected=True).holds
    assert not forward_pass.stable_at_first(found, ("sp",), expected=True).holds
    assert forward_pass.stable_at_first(found, ("sp",), expected=False).holds
    assert forward_pass.ill_conditioned(found).holds
    assert forward_pass.trade_off(found).holds


def test_network_with_both_properties_contradicts_trade_off():
    both = ((1.2, 0.8, 10), (1.5, 0.7, 12))
    found = initial(orthogonal=STABLE, mupc=both, sp=VANISHING, sp_with_skips=VANISHING)
    assert not forward_pass.ill_conditioned(found).holds
    assert not forward_pass.trade_off(found).holds


@pytest.mark.parametrize(("later", "holds"), [(400, True), (120, False), (20, True)])
def test_conditioning_drifts_in_either_direction(later, holds):
    found = measured(
        {
            "quantity": KAPPA, "variant": "sp", "run_id": "0", "depth": 32, "step": step,
            "value": value,
        }
        for step, value in ((0, 100), (50, later))
    )  # fmt: skip
    assert forward_pass.conditioning_drifts(found).holds == holds


def ratios(excess, last=1.0, variant="mupc"):
    """Return ratios 1 + excess(width, depth), multiplied by `last` at the end, for two seeds."""
    return measured(
        {
            "quantity": loss_energy.RATIO, "variant": variant, "width": width, "depth": depth,
            "seed": seed, "run_id": f"{width}-{depth}-{seed}", "step": step,
            "value": (1 + excess(width, depth)) * (last if step else 1.0),
        }
        for width, depth, seed, step in itertools.product((4, 64), (2, 16), (0, 1), (0, 100))
    )  # fmt: skip


def aspect(width, depth):
    return depth / width


@pytest.mark.parametrize(
    ("judge", "bad"),
    [
        (loss_energy.converges, lambda n, h: 1.0),
        (loss_energy.wider_is_closer, lambda n, h: n * h),
        (loss_energy.deeper_is_further, lambda n, h: 1 / (n * h)),
    ],
)
def test_loss_energy_ratio_at_initialisation(judge, bad):
    assert judge(ratios(aspect)).holds
    assert not judge(ratios(bad)).holds


def test_loss_energy_ratio_in_training():
    assert loss_energy.breaks_down_in_training(ratios(aspect, 3)).holds
    assert not loss_energy.breaks_down_in_training(ratios(aspect, 0.9)).holds
    assert loss_energy.sp_does_not_converge(ratios(lambda n, h: 2.0**h, variant="sp")).holds
    assert not loss_energy.sp_does_not_converge(ratios(aspect, variant="sp")).holds


def distances(case, variant, start, by_beta):
    """Return initial and final distances for each beta."""
    return [
        {
            "quantity": "activity_distance", "dataset": case.name, "activation": case.activation,
            "variant": variant, "settings": json.dumps({"start": start}), "activity_lr": beta,
            "seed": 0, "inference_step": step, "value": value,
        }
        for beta, pair in by_beta.items()
        for step, value in enumerate(pair)
    ]  # fmt: skip


def chains(by_beta):
    starts = trajectories.CHAIN.starts
    return measured(
        row for start in starts for row in distances(trajectories.CHAIN, "sp", start, by_beta)
    )


def test_activities_barely_move_or_diverge():
    found = chains({1.0: (1.0, 0.9), 100.0: (1.0, float("nan"))})
    assert trajectories.barely_moves(found, "sp", trajectories.CHAIN).holds
    assert trajectories.diverges(found, "sp").holds
    assert trajectories.does_not_converge(found).holds
    assert not trajectories.does_not_converge(chains({1.0: (1.0, 0.05)})).holds
    found = chains({1.0: (1.0, 0.3), 100.0: (1.0, 2.0)})
    assert not trajectories.barely_moves(found, "sp", trajectories.CHAIN).holds
    assert not trajectories.diverges(found, "sp").holds


@pytest.mark.parametrize(("mupc", "holds"), [(0.1, True), (0.5, False)])
def test_closer_forward_pass(mupc, holds):
    found = measured(
        row
        for variant, first in (("sp", 1.0), ("mupc", mupc))
        for row in distances(trajectories.WIDE, variant, "forward", {1.0: (first, first)})
    )
    assert trajectories.closer(found, trajectories.WIDE, 3).holds == holds


def test_short_chain_reaches_equilibrium():
    case = trajectories.Case("toy", 1, 2, "linear", ("forward",))
    rows = list(trajectories.trajectories(None, case))
    assert len(rows) == 2 * 2 * 3 * len(trajectories.BETAS) * 3  # variants, quantities, seeds
    first = [
        r["value"]
        for r in rows
        if r["inference_step"] == 0 and r["quantity"] == "activity_distance"
    ]
    last = {
        (r["variant"], r["seed"]): r["value"]
        for r in rows
        if (r["inference_step"], r["quantity"], r["activity_lr"]) == (2, "activity_distance", 10.0)
    }
    assert all(value < max(first) for value in last.values())

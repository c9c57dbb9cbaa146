"""The layers predicted to learn over a search space."""

import pytest

import pccore
from pccore.theory import predicted_layers
from transfer.engine.learned_layers import LearnedLayers, learned_layers
from transfer.space import Grid, Range, Space

CONFIG = pccore.TrainingConfig(
    pccore.NetworkConfig(64, 10, width=32, depth=32),
    pccore.PredictiveCoding(pccore.GradientDescent(32)),
)
ETAS = Grid((0.01, 0.03, 0.1))


def test_range_over_the_cells_in_which_inference_is_stable() -> None:
    betas = (0.5, 5.0, 20.0, 640.0)
    counts = [predicted_layers(CONFIG, eta, beta) for eta in ETAS.values for beta in betas]
    known = [count for count in counts if count is not None]
    assert len(known) == 9  # beta = 640 blows up
    found = learned_layers(CONFIG, Space(ETAS, Grid(betas)))
    assert found == LearnedLayers(33, min(known), max(known))
    assert learned_layers(CONFIG, Space(ETAS, Grid((640.0,)))) is None


def test_ranges_count_from_end_to_end() -> None:
    ends = [predicted_layers(CONFIG, 0.05, beta) for beta in (0.5, 20.0)]
    space = Space(Grid((0.05,)), Range(0.5, 20.0))
    assert learned_layers(CONFIG, space) == LearnedLayers(33, *ends)


def test_variants_without_beta_have_one_prediction() -> None:
    config = pccore.TrainingConfig(CONFIG.network, pccore.Backpropagation())
    assert learned_layers(config, Space(ETAS, None)) == LearnedLayers(33, 33, 33)


@pytest.mark.parametrize(("most", "shallow"), [(16, True), (17, False)])
def test_shallow_means_fewer_than_half(most: int, shallow: bool) -> None:
    assert LearnedLayers(33, 2, most).shallow is shallow
    assert not LearnedLayers(32, 2, 16).shallow

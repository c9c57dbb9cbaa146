"""How many lanes a group gets: few on a core, as many as fit on a GPU."""

import pytest

import pccore
from jobs.pools.devices import Device
from jobs.pools.lanes import MOST_LANES, lane_bytes, most_lanes


def config(width: int, depth: int) -> pccore.TrainingConfig:
    network = pccore.NetworkConfig(784, 10, width, depth)
    return pccore.TrainingConfig(network, pccore.Backpropagation(), batch_size=64)


@pytest.mark.parametrize(("width", "depth", "single"), [(16, 8, False), (128, 128, True)])
def test_a_core_takes_several_small_networks_or_one_large(
    width: int, depth: int, single: bool
) -> None:
    lanes = most_lanes(config(width, depth), Device("cpu", "cpu", None))
    assert (lanes == 1) is single
    assert lanes >= 1


@pytest.mark.parametrize(
    ("gib", "width", "depth", "lanes"),
    [
        (80, 128, 8, MOST_LANES),  # small: the whole grid in one program
        (16, 512, 128, 15),  # 33.5 M weights x 5 + 4.2 M activities x 6 numbers = 0.78 GB each
        (0.1, 1024, 128, 1),  # never less than one
    ],
)
def test_a_gpu_takes_what_fits(gib: float, width: int, depth: int, lanes: int) -> None:
    shape = config(width, depth)
    device = Device("gpu", "H100", int(gib * 2**30))
    found = most_lanes(shape, device)
    assert abs(found - lanes) <= 3
    assert found == 1 or found * lane_bytes(shape) <= gib * 2**30


def test_unknown_memory_still_gives_lanes() -> None:
    assert 1 <= most_lanes(config(512, 128), Device("gpu", "?", None)) <= MOST_LANES

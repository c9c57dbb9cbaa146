"""How many runs share one compiled program on a device, as a rule (`jobs.pools.layouts`)."""

import pccore
from jobs.pools.devices import Device
from transfer.spec.networks import stacks

MOST_LANES = 132  # the thesis's grid of 4 x 11 learning rates and 3 seeds, in one program
SMALL_WEIGHTS = 32 * 32 * 8  # hidden weights up to which CPU lanes gain from company (docs/log.md)
SMALL_CPU_LANES = 4
UNKNOWN_MEMORY = 8 * 2**30
USABLE = 0.6  # share of the memory for lanes; the data set and XLA's scratch need the rest
FLOAT_BYTES = 4
WEIGHT_COPIES = 5  # weights, their gradient, Adam's two moments, the update
ACTIVITY_COPIES = 6  # activities, errors, predictions, gradients, and two while they are updated


def most_lanes(config: pccore.TrainingConfig, device: Device) -> int:
    """The most lanes that a group of this shape should have on `device`.

    A CPU core computes one lane as fast alone as in company, except that small networks share the
    cost of each operation's launch. A GPU takes as many as fit.
    """
    if device.kind == "cpu":
        return SMALL_CPU_LANES if hidden_weights(config) <= SMALL_WEIGHTS else 1
    memory = device.memory or UNKNOWN_MEMORY
    return max(1, min(MOST_LANES, int(USABLE * memory) // lane_bytes(config)))


def hidden_weights(config: pccore.TrainingConfig) -> int:
    """Weights between hidden layers, to within a layer, of all stacks that the network is of."""
    return sum(network.width**2 * network.depth for network in stacks(config.network))


def lane_bytes(config: pccore.TrainingConfig) -> int:
    """Estimated device memory of one lane while it trains, in bytes."""
    return sum(_stack_bytes(network, config.batch_size) for network in stacks(config.network))


def _stack_bytes(network: pccore.NetworkConfig, batch: int) -> int:
    N, H = network.width, network.depth
    weights = network.input_size * N + (H - 1) * N * N + N * network.output_size
    activities = batch * (H * N + network.input_size + network.output_size)
    return FLOAT_BYTES * (WEIGHT_COPIES * weights + ACTIVITY_COPIES * activities)

"""How the arithmetic of a group is laid out: what changes its speed, and its rounding, only.

A layout has three knobs. `default_layout` sets them by a rule, `KNOBS` says which values are worth
measuring (`jobs.pools.layout_tuner`). docs/layout.md has the figures behind both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pccore
from jobs.pools.devices import Device
from jobs.pools.lanes import FLOAT_BYTES, SMALL_WEIGHTS, hidden_weights, most_lanes
from pccore import NetworkConfig, TrainingConfig
from transfer.spec.networks import stacks

LARGE_WEIGHTS = 6 * 2**20  # bytes of hidden weights from which a CPU gains from small groups
LAYERS_OF_LARGE = 2


@dataclass(frozen=True)
class Layout:
    """How a group is trained.

    Attributes:
        lanes: runs in one program, at most.
        layers_per_product: of `pccore.NetworkConfig`; 0 takes all moving layers at once.
        batch_shards: of `pccore.TrainingConfig`: devices over which a batch is split.
    """

    lanes: int = 1
    layers_per_product: int = 0
    batch_shards: int = 1

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """The same training in this layout; how many lanes there are is the group's business.

        Raises:
            ValueError: the layout does not suit the training.
        """
        network = config.network
        if isinstance(network, NetworkConfig):
            config = replace(
                config, network=replace(network, layers_per_product=self.layers_per_product)
            )
        elif self.layers_per_product:
            raise ValueError(f"layers_per_product needs a NetworkConfig, got {network}")
        return replace(config, batch_shards=self.batch_shards)


def given_layout(config: TrainingConfig) -> Layout | None:
    """The layout that a config states itself, None where it leaves all knobs as they are."""
    network = config.network
    layers = network.layers_per_product if isinstance(network, NetworkConfig) else 0
    if not layers and config.batch_shards == 1:
        return None
    return Layout(1, layers, config.batch_shards)


def default_layout(config: TrainingConfig, device: Device) -> Layout:
    """The layout by rule, from what was measured on one machine."""
    if not stacks(config.network):  # of other kinds of layers
        return Layout()
    large = FLOAT_BYTES * hidden_weights(config) > LARGE_WEIGHTS
    few = (
        device.kind == "cpu"
        and large
        and takes_layers_in_groups(config)
        and stacks(config.network)[0].depth % LAYERS_OF_LARGE == 0
    )
    return Layout(most_lanes(config, device), LAYERS_OF_LARGE if few else 0)


def takes_layers_in_groups(config: TrainingConfig) -> bool:
    """Whether `layers_per_product` matters: gradient descent from a forward pass, skips of one."""
    return (
        isinstance(config.rule.inference, pccore.GradientDescent)
        and config.rule.splits_batches
        and isinstance(config.network, NetworkConfig)
        and config.network.skip == 1
    )


def layers_worth_trying(config: TrainingConfig, device: Device) -> tuple[int, ...]:
    """All layers in a product, or few: 2 or 4 on a CPU, 8 or 16 on a GPU."""
    few = (2, 4) if device.kind == "cpu" else (8, 16)
    if not takes_layers_in_groups(config):
        return (0,)
    depth = stacks(config.network)[0].depth
    return (0, *(size for size in few if size < depth and depth % size == 0))


def lanes_worth_trying(config: TrainingConfig, device: Device) -> tuple[int, ...]:
    """On a CPU core company for small networks; on a GPU all that fit, a half, or a quarter."""
    if device.kind == "cpu":
        return (1, 4, 12) if hidden_weights(config) <= 4 * SMALL_WEIGHTS else (1,)
    most = most_lanes(config, device)
    return tuple(sorted({max(1, most // 4), max(1, most // 2), most}))


def shards_worth_trying(config: TrainingConfig, device: Device) -> tuple[int, ...]:
    """A batch on one device, or on all that a group may have, where these are parts of a CPU."""
    splits = config.rule.splits_batches and config.batch_size % device.count == 0
    return (1, device.count) if device.kind == "cpu" and device.count > 1 and splits else (1,)


# Every field of `Layout`, in the order of measuring.
KNOBS: Mapping[str, Callable[[TrainingConfig, Device], tuple[int, ...]]] = {
    "layers_per_product": layers_worth_trying,
    "lanes": lanes_worth_trying,
    "batch_shards": shards_worth_trying,
}


def has_choice(config: TrainingConfig, device: Device) -> bool:
    """Whether there is anything to measure: a known network and rule, and a knob with two values.

    Rules that iterate until they are content, and networks of other kinds, take the default.
    """
    known = isinstance(config.network, NetworkConfig) and (
        not config.rule.infers or takes_layers_in_groups(config)
    )
    return known and any(len(values(config, device)) > 1 for values in KNOBS.values())

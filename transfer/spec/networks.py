"""The networks that runs train, by name, and the stacks of layers in each."""

from dataclasses import asdict, fields

from pccore import (
    AbstractNetworkConfig,
    BidirectionalConfig,
    ConvolutionalStackConfig,
    HopfieldConfig,
    HybridConfig,
    NetworkConfig,
    Registry,
)
from pccore.networks.stack import StackConfig

NETWORKS: Registry[type[AbstractNetworkConfig]] = Registry(
    "network",
    {
        "stacked": NetworkConfig,
        "convolutional": ConvolutionalStackConfig,
        "hybrid": HybridConfig,
        "bidirectional": BidirectionalConfig,
        "equilibrium": HopfieldConfig,
    },
)


def stacks(network: AbstractNetworkConfig) -> tuple[StackConfig, ...]:
    """Return the stacks of layers in a network, first the one that predicts."""
    return (network,) if isinstance(network, StackConfig) else tuple(_parts(network).values())


def distinguishing(network: AbstractNetworkConfig) -> dict[str, object]:
    """Return the settings of a network that the stack that predicts in it does not have.

    Settings of its other stacks are included where they differ from those of that stack.
    """
    first = stacks(network)[0]
    hidden = first.precisions[:-1]
    found: dict[str, object] = {"precisions": hidden} if any(p != 1 for p in hidden) else {}
    if first.initial_std is not None:
        found["initial_std"] = first.initial_std
    if first.initial_range is not None:
        found["initial_range"] = first.initial_range
    if network is first:
        common = {field.name for field in fields(StackConfig)}
        return found | {name: value for name, value in vars(network).items() if name not in common}
    parts = _parts(network)
    found |= {name: value for name, value in vars(network).items() if name not in parts}
    settings = {name: asdict(part) for name, part in parts.items() if part is not first}
    usual = asdict(first)
    return found | {
        name: {key: value for key, value in own.items() if value != usual[key]}
        for name, own in settings.items()
    }


def _parts(network: AbstractNetworkConfig) -> dict[str, StackConfig]:
    parts = network.parts().items()
    return {name: part for name, part in parts if isinstance(part, StackConfig)}

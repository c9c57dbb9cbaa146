"""Pairs of networks with inputs and outputs exchanged."""

from dataclasses import replace

from pccore.networks.stacked import ACTIVATION_FIRST, NetworkConfig


def mirror(network: NetworkConfig) -> NetworkConfig:
    """Return the configuration with K inputs and D outputs, of the same depth and width.

    Its output energy is the squared error, and its precisions are ones.
    """
    return replace(
        network,
        input_size=network.output_size,
        output_size=network.input_size,
        output="mse",
        precisions=(),
    )


def require_activation_first(network: NetworkConfig, who_needs: str) -> None:
    """Raise `ValueError` if layers apply the activation after the weights."""
    if network.order != ACTIVATION_FIRST:
        raise ValueError(f"{who_needs} the order {ACTIVATION_FIRST}, got {network.order}")


def require_mirrored(one: NetworkConfig, other: NetworkConfig, names: str) -> None:
    """Raise `ValueError` unless both apply activations first and their sizes are opposite."""
    for network in (one, other):
        require_activation_first(network, f"{names} need")
    sizes = (one.input_size, one.width, one.depth, one.output_size)
    facing = (other.output_size, other.width, other.depth, other.input_size)
    if sizes != facing:
        raise ValueError(
            f"{names} must face each other: (D, N, H, K) of the first is {sizes}, of the second, "
            f"from its output down, {facing}"
        )

"""Two networks that face each other: what one predicts is what the other sees."""

from dataclasses import replace

from pccore.networks.stacked import NetworkConfig


def mirror(network: NetworkConfig) -> NetworkConfig:
    """The network that runs the other way: K inputs, D outputs, as deep and as wide.

    Its output energy is the squared error, and its precisions are ones.
    """
    return replace(
        network,
        input_size=network.output_size,
        output_size=network.input_size,
        output="mse",
        precisions=(),
    )


def require_mirrored(one: NetworkConfig, other: NetworkConfig, names: str) -> None:
    """Raise `ValueError` unless the layers of `one`, in reverse, have the sizes of `other`'s."""
    sizes = (one.input_size, one.width, one.depth, one.output_size)
    facing = (other.output_size, other.width, other.depth, other.input_size)
    if sizes != facing:
        raise ValueError(
            f"{names} must face each other: (D, N, H, K) of the first is {sizes}, of the second, "
            f"from its output down, {facing}"
        )

"""The networks that runs train, by the names that ledgers have for them."""

from pccore import (
    AbstractNetworkConfig,
    BidirectionalConfig,
    ConvolutionalStackConfig,
    HopfieldConfig,
    HybridConfig,
    NetworkConfig,
    Registry,
)

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
"""The built-in ones. Those of other names are of families of the user's own."""

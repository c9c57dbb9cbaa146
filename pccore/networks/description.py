"""A network in words and numbers that are enough to predict with its arrays in any program."""

from dataclasses import asdict, fields

from pccore.networks.base import AbstractNetworkConfig
from pccore.networks.stack import StackConfig


def describe(config: AbstractNetworkConfig) -> dict[str, object]:
    """Return what a forward pass needs besides the arrays of `to_arrays`; JSON can hold it.

    Of a stack: its sizes, `activation`, the premultipliers `scalings` (a_1 as `first`, a_2 .. a_H
    as `hidden`, a_L as `last`), `skip` (hidden layers that a skip connection spans, None without
    them), `bias`, the output energy `output`, and what only this kind of stack has, as `kernel`. Of
    a network of stacks: its own settings, and a description of each stack by the name of its field,
    the predicting one first.
    """
    if isinstance(config, StackConfig):
        common = {field.name for field in fields(StackConfig)}
        own = {name: value for name, value in vars(config).items() if name not in common}
        return {
            "input_size": config.input_size,
            "output_size": config.output_size,
            "width": config.width,
            "depth": config.depth,
            "activation": config.activation,
            "parameterisation": config.parameterisation,
            "scalings": asdict(config.scalings),
            "skip": config.skip if config.residual else None,
            "bias": config.bias,
            "output": config.output,
            **own,
        }
    parts = config.parts()
    own = {name: value for name, value in vars(config).items() if name not in parts}
    sizes = {"input_size": config.input_size, "output_size": config.output_size}
    return own | sizes | {name: describe(part) for name, part in parts.items()}

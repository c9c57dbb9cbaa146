"""The layout of arithmetic, which changes the speed of a group but not its results.

`choose_layout` applies the rule, `default_layout`, unless the user has measured the shape and
selects that (`LayoutPolicy`). docs/layout.md explains the rule and its figures.
"""

import hashlib
import json
import warnings
from collections.abc import Hashable
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pccore
from jobs.pools.compile_cache import user_cache
from jobs.pools.devices import Device
from jobs.pools.settings import LayoutPolicy, layout_policy
from pccore import NetworkConfig, TrainingConfig
from pccore.data.files import open_regular

MAX_LANES = 132  # 4 x 11 learning rates and 3 seeds, the thesis's grid, in one program
SMALL_CPU_LANES = 4
SMALL_WEIGHTS = 32 * 32 * 8  # hidden weights up to which several lanes pay on a CPU
LARGE_BYTES = 6 * 2**20  # of hidden weights from which few layers per product pay on a CPU
LAYERS_OF_LARGE = 2

UNKNOWN_MEMORY = 8 * 2**30
USABLE_MEMORY = 0.6  # share of the memory for lanes; the data set and XLA's scratch need the rest
FLOAT_BYTES = 4
WEIGHT_COPIES = 5  # weights, their gradient, Adam's two moments, the update
ACTIVITY_COPIES = 6  # activities, errors, predictions, gradients, and two while they are updated

# Settings of a network that its speed does not depend on, or that a layout sets.
IMMATERIAL = ("parameterisation", "output", "layers_per_product")


@dataclass(frozen=True)
class Layout:
    """How a group is trained.

    Attributes:
        lanes: largest number of runs in one program.
        layers_per_product: of `pccore.NetworkConfig`; 0 takes all moving layers at once.
        batch_shards: of `pccore.TrainingConfig`: devices over which a batch is split.

    Raises:
        ValueError: a value is no whole number, or is too small.
    """

    lanes: int = 1
    layers_per_product: int = 0
    batch_shards: int = 1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "layers_per_product" else 1
            if type(value) is not int or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value}")

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """Return the same training in this layout. The number of lanes is up to the group.

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


def choose_layout(config: TrainingConfig, device: Device) -> Layout:
    """Return the layout of a training on a device.

    A config that sets `layers_per_product` or `batch_shards` keeps them.

    Raises:
        SettingError: `MUPC_LAYOUTS` sets an unknown policy.
    """
    policy, default = layout_policy(), default_layout(config, device)
    network = config.network
    layers = network.layers_per_product if isinstance(network, NetworkConfig) else 0
    if layers or config.batch_shards != 1:
        return Layout(default.lanes, layers, config.batch_shards)
    if policy is LayoutPolicy.MEASURED and isinstance(config.network, NetworkConfig):
        return load_layout(config, device) or default
    return default


def default_layout(config: TrainingConfig, device: Device) -> Layout:
    """Return the layout by the rule.

    Lanes: small networks on a CPU share the cost of launching operations, large ones train one at a
    time; a GPU takes as many as fit into its memory. Layers per product: two for a large network on
    a CPU, so that they stay in its cache. Batches are never split.
    """
    if not config.network.sized_parts():  # other kinds of layers
        return Layout()
    weights = hidden_weights(config)
    if device.kind == "cpu":
        lanes = SMALL_CPU_LANES if weights <= SMALL_WEIGHTS else 1
    else:
        memory = USABLE_MEMORY * (device.memory or UNKNOWN_MEMORY)
        lanes = max(1, min(MAX_LANES, int(memory) // lane_bytes(config)))
    few_layers = (
        device.kind == "cpu"
        and FLOAT_BYTES * weights > LARGE_BYTES
        and groups_layers(config)
        and config.network.sized_parts()[0].depth % LAYERS_OF_LARGE == 0
    )
    return Layout(lanes, LAYERS_OF_LARGE if few_layers else 0)


def groups_layers(config: TrainingConfig) -> bool:
    """Return whether `layers_per_product` matters: gradient descent in waves, skip 1."""
    return (
        isinstance(config.rule.inference, pccore.GradientDescent)
        and config.rule.splits_batches
        and isinstance(config.network, NetworkConfig)
        and config.network.skip == 1
        and config.network.in_waves
    )


def hidden_weights(config: TrainingConfig) -> int:
    """Return the number of weights between hidden layers, up to one layer, of all stacks.

    Weights that are used at several places count as often.
    """
    return sum(network.hidden_products for network in config.network.sized_parts())


def lane_bytes(config: TrainingConfig) -> int:
    """Estimate the device memory of one lane in training, in bytes."""
    numbers = (
        WEIGHT_COPIES * network.weights + ACTIVITY_COPIES * config.batch_size * network.numbers
        for network in config.network.sized_parts()
    )
    return FLOAT_BYTES * sum(numbers)


def speed_key(config: TrainingConfig) -> Hashable:
    """Return everything that the speed of a weight update depends on, except its layout."""
    network = config.network
    settings = tuple(
        (field.name, getattr(network, field.name))
        for field in fields(network)
        if field.name not in IMMATERIAL
    )
    return type(network).__name__, settings, config.batch_size, config.rule


MOST_BYTES = 2**16
"""The largest file of a measured layout."""


def layout_folder() -> Path:
    """Return the folder of measured layouts, one JSON file per training and device."""
    return user_cache() / "layouts"


def layout_file(config: TrainingConfig, device: Device) -> Path:
    """Return the file of a measured layout; its name holds a digest of all that determines it."""
    gib = None if device.memory is None else round(device.memory / 2**30)
    facts = (speed_key(config), replace(device, memory=gib), version("jax"))
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    network = config.network.sized_parts()[0]
    return layout_folder() / f"{network.depth}x{network.width}-{digest}.json"


def load_layout(config: TrainingConfig, device: Device) -> Layout | None:
    """Return the measured layout; None if there is none, or if its file is invalid (a warning)."""
    path = layout_file(config, device)
    try:
        with open_regular(path) as file:
            layout = Layout(**json.loads(file.read(MOST_BYTES))["layout"])
        layout.apply(config)
        if layout.batch_shards > device.count:
            raise ValueError(f"batch_shards {layout.batch_shards} needs as many devices")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"the measured layout in {path} is ignored ({reason})", stacklevel=2)
        return None
    return layout


def save_layout(config: TrainingConfig, device: Device, layout: Layout) -> Path:
    """Store a measured layout for later runs, and return its file. Raises `OSError`."""
    path = layout_file(config, device)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    with unfinished.open("x") as file:  # new, so that no link is followed
        file.write(json.dumps({"layout": asdict(layout)}, indent=2) + "\n")
    unfinished.replace(path)
    return path

"""What is known of a column, and texts that several tables share."""

from dataclasses import dataclass

from results.schema.types import TypeName

LOSS = "loss per sample"
"""0.5 squared error summed over outputs, or cross-entropy in nats, by the run's `output`."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: the name in frames, filters and files.
        type: a key of `results.schema.types.TYPES`; timestamps are in microseconds, UTC.
        description: what the column holds, and when it is null.
        unit: the unit of its numbers; empty where there is none.
        fixed: whether all rows with the same key have the same value.
        required: whether a row without a value is refused.
        allowed: the only values that the column may hold; empty where any value is allowed.
        since: the first schema version that has the column.
        absent: the value that rows without one have, those of older files included.
        of_trained: whether only runs that trained have a value: in others it is null, whatever was
            written.
    """

    name: str
    type: TypeName
    description: str
    unit: str = ""
    fixed: bool = False
    required: bool = False
    allowed: tuple[str, ...] = ()
    since: int = 1
    absent: str | None = None
    of_trained: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in ("int64", "float64")


def key(name: str, type: TypeName, description: str, unit: str = "") -> Column:
    """Return a required column that is part of what a row is about."""
    return Column(name, type, description, unit, fixed=True, required=True)


def setting(name: str, type: TypeName, description: str, unit: str = "") -> Column:
    """Return a column whose value was set before the run started."""
    return Column(name, type, description, unit, fixed=True)


def added(name: str, type: TypeName, description: str, unit: str = "", since: int = 2) -> Column:
    """Return a setting added by a later version; null stands for the value that older rows had."""
    return Column(name, type, description, unit, fixed=True, since=since)


OF_WEIGHT_LR = "eta, learning rate of the weight optimiser"
OF_ACTIVITY_LR = (
    "beta, step size of inference; the energy is a mean over the batch, so compare beta only at "
    "equal batch_size; null without inference, for a scheme without a step size, or if beta is set "
    "from the spectrum (inference_options)"
)
OF_LAYERS = "L, weight matrices of the network; null where it was not recorded"
OF_MIN_TRAIN_LOSS = "smallest training loss of any batch, the metric of the thesis"

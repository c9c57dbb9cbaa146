"""How large the documents' experiments are run. Light: it is imported for `--help`."""

from enum import StrEnum


class Scale(StrEnum):
    """How large an experiment is run."""

    SMALL = "small"  # two cores, minutes: the same phenomenon in smaller networks
    FULL = "full"  # the authors' settings

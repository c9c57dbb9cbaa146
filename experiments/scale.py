"""Scales of the recipes. Light: it is imported for `--help`."""

from enum import StrEnum


class Scale(StrEnum):
    """The size at which a recipe runs."""

    SMALL = "small"  # minutes on two cores: the same phenomenon in smaller networks
    FULL = "full"  # the authors' settings

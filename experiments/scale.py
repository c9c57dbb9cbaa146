"""Scales of the recipes, in a module of their own because `--help` imports them."""

from enum import StrEnum


class Scale(StrEnum):
    """The size at which a recipe runs."""

    SMALL = "small"  # minutes on two cores: the same phenomenon in smaller networks
    FULL = "full"  # the authors' settings

"""Settings of the pools that the command line offers. Light: `mupc --help` imports it."""

import os
from enum import StrEnum

from jobs.errors import SettingError

CHECKPOINT_MINUTES = 5.0
"""Interval between two checkpoints of a group, which is what a lost worker costs at most."""

LAYOUTS_VARIABLE = "MUPC_LAYOUTS"
"""Environment variable that sets the layout policy of a process and of its Ray workers."""


class LayoutPolicy(StrEnum):
    """How the layout of a group is chosen.

    DEFAULT applies the rule. MEASURED uses the layouts that `mupc layouts SPEC --measure` stored on
    this machine, and the rule for every other shape.
    """

    DEFAULT = "default"
    MEASURED = "measured"


def layout_policy() -> LayoutPolicy:
    """Return the policy that `MUPC_LAYOUTS` sets, `default` where it is unset.

    Raises:
        SettingError: its value is unknown.
    """
    text = os.environ.get(LAYOUTS_VARIABLE) or LayoutPolicy.DEFAULT
    try:
        return LayoutPolicy(text)
    except ValueError:
        allowed = " or ".join(LayoutPolicy)
        raise SettingError(f"{LAYOUTS_VARIABLE} must be {allowed}, got {text!r}") from None

"""Whether layouts may be measured: an option of the command, a variable for everyone else.

Light: it is imported for `--help`.
"""

import os
from enum import StrEnum

from jobs.errors import SettingError

VARIABLE = "MUPC_LAYOUTS"


class LayoutPolicy(StrEnum):
    """How layouts are chosen.

    AUTO takes what is remembered, and measures where a training is long compared with measuring.
    DEFAULT neither looks nor measures: the default rule decides. MEASURE measures every shape that
    is not remembered.
    """

    AUTO = "auto"
    DEFAULT = "default"
    MEASURE = "measure"


def layout_policy() -> LayoutPolicy:
    """What `MUPC_LAYOUTS` says, `auto` where it says nothing. Raises `SettingError`."""
    text = os.environ.get(VARIABLE) or LayoutPolicy.AUTO
    try:
        return LayoutPolicy(text)
    except ValueError:
        allowed = ", ".join(LayoutPolicy)
        raise SettingError(f"{VARIABLE} must be one of {allowed}, got {text!r}") from None

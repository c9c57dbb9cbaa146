"""Values as JSON has them: no NaN, no infinities, no types of NumPy; texts made visible."""

import json
import math
from datetime import datetime
from typing import SupportsFloat

import numpy as np

from results.untrusted import printable

MOST_LETTERS = 2_000
"""The longest text of a ledger that is sent to the page."""


def number(value: SupportsFloat | None) -> float | int | None:
    """Return a number; None if there is none, or it is not finite."""
    if value is None:
        return None
    found = float(value)
    if not math.isfinite(found):
        return None
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


def text(value: object) -> str:
    """Return a text of the ledger: without characters that hide or reorder it, not too long."""
    shown = printable(value, keep="\n")
    return shown if len(shown) <= MOST_LETTERS else f"{shown[:MOST_LETTERS]}…"


def plain(value: object) -> str | float | int | bool | None:
    """Return a value of a frame as JSON has it; None for a null."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, int | float | np.number):
        return number(value)
    if isinstance(value, datetime):
        return None if value != value else value.isoformat(timespec="seconds")
    return text(value)


def encoded(payload: object) -> bytes:
    """Return JSON in UTF-8."""
    return json.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )

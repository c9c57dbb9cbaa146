"""A row that was read: of a frame, of a table of Arrow, or of the ledger."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
"""Its values by column, each of the type of its column; a number that is missing is None or NaN."""

"""The JSON that commands print with `--json`: one object, whose head names the command."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def print_json(command: str, facts: Mapping[str, object]) -> None:
    """Print the one JSON object of a command.

    Args:
        command: the command's name.
        facts: what it found. Tables are lists of mappings; numbers without a finite value are null.
    """
    document = {**_head(command), **{name: _plain(value) for name, value in facts.items()}}
    print(json.dumps(document, default=str, indent=2, allow_nan=False), flush=True)


def print_json_rows(command: str, frame: "pd.DataFrame") -> None:
    """Print the rows of a frame, of which there may be a million, as the list `rows`."""
    rows = frame.to_json(orient="records", date_format="iso", indent=2)
    rows = rows.replace("\x7f", "\\u007f")  # the only control character that JSON leaves
    head = json.dumps(_head(command), indent=2).removesuffix("\n}")
    print(f'{head},\n  "rows": {rows}\n}}')


def _head(command: str) -> dict[str, object]:
    return {"mupc": version("mupc"), "command": command}


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value

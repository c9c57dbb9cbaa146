"""Arguments and options that several commands share. Light: it is imported for `--help`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.options import PoolKind

LEDGER = "MUPC_LEDGER"


def count(text: str) -> int:
    """A whole number of at least 1; the parser's own sentence would not say what it was given."""
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise typer.BadParameter(f"must be a whole number of at least 1, got {text!r}")


def minutes(text: str) -> float:
    """A positive number of minutes."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 < value < math.inf:
        return value
    raise typer.BadParameter(f"must be a positive number of minutes, got {text!r}")


Ledger = Annotated[
    str, typer.Option(envvar=LEDGER, help="Folder (or URI) of the ledger.", show_envvar=True)
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="MUPC_DATA", help="Folder that holds the files of data sets."),
]
Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The experiment, a YAML file.")]
Workers = Annotated[
    int | None,
    typer.Option(
        parser=count, metavar="N", help="Groups trained at a time.", show_default="all cores"
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        parser=minutes,
        metavar="MINUTES",
        help="Between two checkpoints of runs that take longer.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
PoolOption = Annotated[PoolKind, typer.Option(help="Where runs are trained.")]
Address = Annotated[
    str | None,
    typer.Option(help="Ray cluster to join: auto or an address.", show_default="a local one"),
]

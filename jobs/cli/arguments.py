"""Arguments and options shared by several commands. Imported for `--help`, so it stays light."""

import math
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.options import PoolKind

LEDGER = "MUPC_LEDGER"


def count(value: str | int) -> int:
    """Parse a whole number of at least 1, with the text received in the error.

    Typer parses defaults, too, which are numbers.
    """
    text = str(value)
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise typer.BadParameter(f"must be a whole number of at least 1, got {text!r}")


def port_number(text: str | int) -> int:
    """Parse a TCP port; 0 stands for a free one."""
    if str(text).isdecimal() and int(text) < 65_536:
        return int(text)
    raise typer.BadParameter(f"must be a port from 0 to 65535, got {text!r}")


def minutes(text: str) -> float:
    """Parse a positive number of minutes."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 < value < math.inf:
        return value
    raise typer.BadParameter(f"must be a positive number of minutes, got {text!r}")


Ledger = Annotated[
    str,
    typer.Option(
        envvar=LEDGER, metavar="PLACE", help="Folder or URI of the ledger.", show_envvar=True
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="MUPC_DATA", metavar="FOLDER", help="Folder of the data sets."),
]
OneExperiment = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of one experiment.", show_default="all")
]
Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="YAML file of the experiment.")]
Workers = Annotated[
    int | None,
    typer.Option(
        parser=count,
        metavar="N",
        help="Number of groups trained at the same time.",
        show_default="all cores",
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        parser=minutes,
        metavar="MINUTES",
        help="Time between two checkpoints of a group of runs.",
    ),
]
FailOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="RESULT",
        help="Exit with status 4 on a drifted, inconclusive, untrained or edge verdict, 3 on a "
        "failed run; a,b names several; repeatable.",
    ),
]
Notify = Annotated[
    str | None,
    typer.Option(
        envvar="MUPC_NOTIFY",
        metavar="URL",
        help="Post a JSON line to this URL at verdicts, failures and the end; @FILE reads the URL "
        "from a file.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        parser=count,
        metavar="N",
        help="Maximum number of rows.",
        show_default="50 on the screen, else all",
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PoolOption = Annotated[PoolKind, typer.Option(help="Train in this process or on Ray.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ray cluster to join: auto, or an address.",
        show_default="a local one",
    ),
]

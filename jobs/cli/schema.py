"""`mupc schema`: the JSON Schema of a spec."""

import json

import typer

from transfer.spec.model import Experiment
from transfer.spec.schema import json_schema


def show_schema() -> None:
    """Print the JSON Schema of an experiment's spec."""
    typer.echo(json.dumps(json_schema(Experiment), indent=2))

"""`mupc schema`: the JSON Schema of a spec."""

import json

import typer

from jobs.cli.json_output import print_json
from transfer.spec.model import Experiment
from transfer.spec.schema import json_schema


def schema_text() -> str:
    """Return the JSON Schema of an experiment's spec, as files have it."""
    return json.dumps(json_schema(Experiment), indent=2)


def show_schema(*, as_json: bool) -> None:
    """Print the JSON Schema of an experiment's spec."""
    if as_json:
        print_json("schema", {"schema": json_schema(Experiment)})
    else:
        typer.echo(schema_text())

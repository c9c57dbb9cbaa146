"""`python -m experiments`: list, run and score the recipes."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli import RecipeOptions, list_recipes, run_recipes, show_scorecard
from experiments.scale import Scale
from jobs.cli.arguments import Address, DataDir, Json, Ledger, PoolOption, Workers
from jobs.cli.entry import run_command
from jobs.cli.help import Application
from jobs.cli.options import PoolKind

app = Application(help="Rerun the experiments of the documents behind muPC and score their claims.")

ScaleOption = Annotated[
    Scale, typer.Option("--scale", help="small: minutes on two cores; full: the authors' settings.")
]


@app.callback(invoke_without_command=True)
def show_help(context: typer.Context) -> None:
    """Print the help text if no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list")
def list_command(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the recipes: source, setting, claims, estimated time on this machine."""
    list_recipes(data_dir, as_json=as_json)


@app.command()
def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Recipes to run.", show_default="all"),
    ] = None,
    scale: ScaleOption = Scale.SMALL,
    ledger: Ledger = "runs",
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("report/reproduce"),
    pool: PoolOption = PoolKind.LOCAL,
    workers: Workers = None,
    address: Address = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Run recipes, draw their figures, judge their claims; run again to continue."""
    options = RecipeOptions(
        names or [], scale, ledger, out, pool, workers, address, data_dir, as_json
    )
    raise typer.Exit(run_recipes(options))


@app.command()
def scorecard(
    scale: ScaleOption = Scale.SMALL,
    ledger: Ledger = "runs",
    out: Annotated[
        Path | None, typer.Option(help="Write the scorecard to this file, as Markdown.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Write the page docs/scorecard.md to this file, with what was measured before of "
            "recipes that the ledger lacks, and record what it has."
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Judge every claim on the runs of a ledger: target, tolerance, measured, verdict."""
    show_scorecard(ledger, scale, out, page, data_dir, as_json=as_json)


if __name__ == "__main__":
    run_command(app, "experiments")

"""Commands to begin with: new, init, datasets, schema, doctor, completion."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.arguments import DataDir, Json, count
from jobs.cli.help import START, Application
from jobs.cli.names import names_of
from jobs.cli.options import NewOptions, Shell

start = Application()

Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def completes(kind: str) -> Callable[[str], list[str]]:
    """Return the completion of a name, or of the last of several with commas between them."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names_of(kind) if name.startswith(last)]

    return complete


@start.command(rich_help_panel=START)
def new(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write.", show_default=True)
    ] = Path("experiment.yaml"),
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Name of a data set, or a file of your own.",
            autocompletion=completes("data set"),
        ),
    ] = "digits",
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the targets in your file; a,b for several."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="'classification' or 'regression', where your file does not say so.",
            autocompletion=completes("task"),
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            metavar="FAMILY",
            help="Family of networks.",
            autocompletion=completes("family of networks"),
        ),
    ] = "stacked",
    activation: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Activation function.", autocompletion=completes("activation")
        ),
    ] = "relu",
    variants: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Variants to compare.", autocompletion=completes("variant")
        ),
    ] = "mupc",
    width: Annotated[
        int, typer.Option(parser=count, metavar="N", help="Width of the tuned networks.")
    ] = 32,
    depth: Annotated[
        int, typer.Option(parser=count, metavar="N", help="Hidden layers of the tuned networks.")
    ] = 8,
    depths: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Hidden layers of the targets.",
            show_default="twice and four times as many",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(parser=count, metavar="N", help="Weight updates.")] = 100,
    seeds: Annotated[
        int, typer.Option(parser=count, metavar="N", help="Networks per learning rate.")
    ] = 3,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the experiment.", show_default="that of FILE"),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a spec with comments, ready to run. Asks nothing."""
    from jobs.cli.new import new_spec

    sizes = (width, depth, depths, steps, seeds)
    new_spec(
        NewOptions(
            file, name, data, target, task, network, activation, variants, *sizes, force, as_json
        )
    )


@start.command(rich_help_panel=START)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to fill.")] = Path(),
    examples: Annotated[
        bool, typer.Option("--examples", help="Copy the examples into FOLDER/examples.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a first spec and the schema for editors into a folder."""
    from jobs.cli.new import init as fill

    fill(folder, examples=examples, force=force, as_json=as_json)


@start.command(rich_help_panel=START)
def completion(
    shell: Annotated[
        Shell | None, typer.Argument(metavar="SHELL", help="bash, zsh or fish; yours by default.")
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the script instead of installing it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Install completion by the tab key, for bash, zsh or fish."""
    from jobs.cli.completion import install_completion

    install_completion(shell, only_print=only_print, as_json=as_json)


@start.command(rich_help_panel=START)
def datasets(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="File or folder of your own, or two .npy files."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of the targets in FILE; repeatable."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of the inputs in FILE; repeatable."),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE|FILE", help="Share of the test set, or its file."),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="'per feature', 'global' or 'none'."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="'classification' or 'regression'.")
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Download this data set.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the data sets, download one, or show what a file of yours has."""
    from jobs.cli.datasets import FileOptions, fetch_dataset, list_datasets, show_file

    if files:
        options = FileOptions(target or [], column or [], test or [], normalise, task)
        show_file(files, options, as_json=as_json)
    elif fetch is not None:
        fetch_dataset(fetch, data_dir, as_json=as_json)
    else:
        list_datasets(data_dir, as_json=as_json)


@start.command(rich_help_panel=START)
def schema(as_json: Json = False) -> None:
    """Print the JSON Schema of a spec, with which editors complete it."""
    from jobs.cli.schema import show_schema

    show_schema(as_json=as_json)


@start.command(rich_help_panel=START)
def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Print facts about this machine, and check that JAX computes right on it.

    Exits with status 1 if it does not.
    """
    from jobs.cli.doctor import show_facts

    raise typer.Exit(show_facts(data_dir, as_json=as_json))

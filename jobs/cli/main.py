"""The command `mupc`. Nothing heavy is imported before a command needs it."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.arguments import (
    Address,
    CheckpointMinutes,
    Csv,
    DataDir,
    FailOnOption,
    Json,
    Ledger,
    Limit,
    Notify,
    OneExperiment,
    PoolOption,
    Spec,
    Workers,
    count,
    port_number,
)
from jobs.cli.cluster_commands import cluster
from jobs.cli.entry import run_command
from jobs.cli.exit_status import parse_fail_on
from jobs.cli.help import QUERY, RUN, Application
from jobs.cli.options import (
    ExportOptions,
    PlanOptions,
    PoolKind,
    Printed,
    ResultsOptions,
    RunOptions,
    TableName,
)
from jobs.cli.start_commands import start
from jobs.pools.settings import CHECKPOINT_MINUTES, LAYOUTS_VARIABLE, LayoutPolicy

app = Application(
    help="Tune learning rates on small predictive-coding networks, transfer them to deep ones, "
    "and judge whether they held.",
    epilog="Begin with `mupc new`, which writes experiment.yaml, and `mupc run experiment.yaml`. "
    "`mupc COMMAND --help` explains a command.",
)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Print the version, or the help text if no command is given."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"mupc {version_of('mupc')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(rich_help_panel=RUN)
def run(
    spec: Spec,
    ledger: Ledger = "runs",
    report: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the report.", show_default="report/NAME"),
    ] = None,
    pool: PoolOption = PoolKind.LOCAL,
    workers: Workers = None,
    address: Address = None,
    data_dir: DataDir = None,
    layouts: Annotated[
        LayoutPolicy,
        typer.Option(
            envvar=LAYOUTS_VARIABLE,
            help="Layout of arithmetic: by the rule, or as measured by mupc layouts --measure.",
        ),
    ] = LayoutPolicy.DEFAULT,
    checkpoint_minutes: CheckpointMinutes = CHECKPOINT_MINUTES,
    fail_on: FailOnOption = None,
    notify: Notify = None,
    as_json: Json = False,
) -> None:
    """Run an experiment, or continue it: tune, transfer, judge, report."""
    from jobs.cli.run import run_experiment

    options = RunOptions(
        spec,
        ledger,
        report,
        pool,
        workers,
        address,
        data_dir,
        layouts,
        checkpoint_minutes,
        parse_fail_on(fail_on or []),
        as_json,
        notify,
    )
    raise typer.Exit(run_experiment(options))


@app.command(rich_help_panel=RUN)
def plan(
    spec: Spec,
    ledger: Ledger = "runs",
    pool: PoolOption = PoolKind.LOCAL,
    workers: Workers = None,
    address: Address = None,
    data_dir: DataDir = None,
    calibrate: Annotated[
        bool, typer.Option(help="Time a few training steps first, for at most half a minute.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Estimate the runs, time and memory of an experiment before it runs."""
    from jobs.cli.plan import show_plan

    show_plan(PlanOptions(spec, ledger, pool, workers, address, data_dir, calibrate, as_json))


@app.command(rich_help_panel=QUERY)
def results(
    ledger: Ledger = "runs",
    table: Annotated[TableName, typer.Option(help="Table to query.")] = TableName.RUNS,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Filter rows, also by < <= > >= != or like; a,b matches either; repeatable.",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns to print, in this order.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="A,-B", help="Columns to sort by; - means descending.")
    ] = None,
    limit: Limit = None,
    older: Annotated[
        bool,
        typer.Option("--older", help="Include replaced verdicts or measurements, and older specs."),
    ] = False,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Print rows of a table: runs, verdicts, curves, layers or measurements."""
    from jobs.cli.queries import show_results

    printed = Printed(limit, as_json, as_csv)
    show_results(ResultsOptions(ledger, table, where or [], columns, sort, older, printed))


@app.command(rich_help_panel=QUERY)
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT, as DuckDB has it.")],
    ledger: Ledger = "runs",
    limit: Limit = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Query the same tables in SQL."""
    from jobs.cli.queries import show_sql

    show_sql(query, ledger, Printed(limit, as_json, as_csv))


@app.command(rich_help_panel=QUERY)
def export(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="optuna, mlflow, tensorboard, csv or huggingface; or the id of a run, or its "
            "first characters, for its weights.",
        ),
    ],
    ledger: Ledger = "runs",
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="File or folder to write. For weights: safetensors or npz for a file named after "
            "the run, a file that ends in .safetensors or .npz, or a new folder of npy files.",
            show_default="named after WHAT",
        ),
    ] = None,
    experiment: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this experiment; repeatable.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Write further runs as they finish, until Ctrl-C.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that mupc export did not write.")
    ] = False,
    title: Annotated[
        str | None, typer.Option(metavar="TITLE", help="Title of the data set.")
    ] = None,
    author: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Author of the data set; repeatable.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(metavar="ID", help="Licence of the data set, such as cc-by-4.0.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Export a ledger to another tool, or a trained network to a file."""
    from jobs.cli.bridges import export_ledger

    options = ExportOptions(
        what,
        ledger,
        to,
        tuple(experiment or ()),
        follow,
        force,
        title,
        tuple(author or ()),
        license,
        as_json,
    )
    raise typer.Exit(export_ledger(options))


@app.command(rich_help_panel=QUERY)
def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="Name of an experiment.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Name of another.")],
    ledger: Ledger = "runs",
    as_json: Json = False,
) -> None:
    """Compare the settings and verdicts of two experiments."""
    from jobs.cli.queries import show_comparison

    show_comparison(one, other, ledger, as_json=as_json)


@app.command(rich_help_panel=QUERY)
def pruning(
    ledger: Ledger = "runs",
    experiment: OneExperiment = None,
    first: Annotated[
        int | None,
        typer.Option(
            parser=count,
            metavar="N",
            help="Weight updates before the first decision of the pruners.",
            show_default="a tenth of all",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show from finished runs whether the search could stop cells early.

    For every landscape: the rank correlation of early losses with the final ones, and how often
    each pruner would have stopped a cell that ends within 5% of the best.
    """
    from jobs.cli.pruning import show_pruning

    show_pruning(ledger, experiment, first, as_json=as_json)


@app.command(rich_help_panel=QUERY)
def check(
    ledger: Ledger = "runs",
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine", help="Move damaged files to the folder quarantine of the ledger."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every file of a ledger for damage.

    Verifies the checksums of the files, the ids of the runs and the checkpoints. Exits with
    status 1 if one is wrong.
    """
    from jobs.cli.queries import check_ledger

    raise typer.Exit(check_ledger(ledger, quarantine=quarantine, as_json=as_json))


@app.command(rich_help_panel=QUERY)
def report(
    ledger: Ledger = "runs",
    experiment: OneExperiment = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the report.")] = Path(
        "report"
    ),
    as_json: Json = False,
) -> None:
    """Write the report of a ledger as a web page."""
    from jobs.cli.queries import draw_report

    draw_report(ledger, out, experiment, as_json=as_json)


@app.command(rich_help_panel=QUERY)
def dashboard(
    ledger: Ledger = "runs",
    port: Annotated[
        int,
        typer.Option(
            parser=port_number, metavar="PORT", help="Port to listen on; 0 takes a free one."
        ),
    ] = 8788,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; others than loopback need a token."
        ),
    ] = "127.0.0.1",
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Job server of a cluster: shows the ledger of its job."),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Job on that cluster.", show_default="the newest"),
    ] = None,
) -> None:
    """Show a ledger as a live web page: verdicts, landscapes, curves, failures."""
    from jobs.cli.dashboard import serve_dashboard

    serve_dashboard(ledger, host, port, address, job)


@app.command(
    rich_help_panel=RUN,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def reproduce(context: typer.Context) -> None:
    """Rerun the experiments of the muPC papers; needs a source checkout."""
    from jobs.cli.recipes import run_recipes_command

    raise typer.Exit(run_recipes_command(context.args))


app.add_typer(start)
app.add_typer(cluster)


@app.command(rich_help_panel=RUN)
def layouts(
    spec: Spec,
    measure: Annotated[bool, typer.Option("--measure", help="Measure and store now.")] = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Show or measure the fastest layout of arithmetic for each network."""
    from jobs.cli.layouts import list_layouts

    list_layouts(spec, measure=measure, workers=workers, as_json=as_json)


def main() -> None:
    """Run the command `mupc`."""
    run_command(app, "mupc")

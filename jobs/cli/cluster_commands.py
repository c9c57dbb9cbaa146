"""Commands for experiments on a cluster: submit, list, status, logs, stop."""

from typing import Annotated

import typer

from jobs.cli.arguments import LEDGER, FailOnOption, Json, Notify, Spec, Workers
from jobs.cli.exit_status import parse_fail_on
from jobs.cli.help import CLUSTER, Application
from jobs.cluster.address import DEFAULT_ADDRESS

cluster = Application()

JobServerAddress = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        metavar="URL",
        help="URL of the cluster's job server.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Job id, as printed by submit and list.")]
Follow = Annotated[bool, typer.Option("--follow", help="Print the output until the job ends.")]


@cluster.command(rich_help_panel=CLUSTER)
def submit(
    spec: Spec,
    address: JobServerAddress = DEFAULT_ADDRESS,
    ledger: Annotated[
        str | None,
        typer.Option(
            envvar=LEDGER,
            metavar="PLACE",
            help="URI of the ledger, or absolute path of a folder on the cluster.",
            show_default=f"the cluster's {LEDGER}, or ~/runs on its head node",
        ),
    ] = None,
    workers: Workers = None,
    data_dir: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder of the data sets on the cluster's head node."),
    ] = None,
    fail_on: FailOnOption = None,
    notify: Notify = None,
    follow: Follow = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the command and the files instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Submit an experiment to a Ray cluster, or continue it there."""
    from jobs.cli.submission import SubmitOptions, submit_experiment

    options = SubmitOptions(ledger, workers, data_dir, parse_fail_on(fail_on or []), notify)
    raise typer.Exit(
        submit_experiment(spec, address, options, follow=follow, dry_run=dry_run, as_json=as_json)
    )


@cluster.command("list", rich_help_panel=CLUSTER)
def list_submitted(address: JobServerAddress = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the experiments submitted to a cluster."""
    from jobs.cli.submission import show_jobs

    show_jobs(address, as_json=as_json)


@cluster.command(rich_help_panel=CLUSTER)
def status(job: JobId, address: JobServerAddress = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show the status and progress of a submitted experiment."""
    from jobs.cli.submission import show_status

    show_status(job, address, as_json=as_json)


@cluster.command(rich_help_panel=CLUSTER)
def logs(
    job: JobId,
    address: JobServerAddress = DEFAULT_ADDRESS,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Print the output of a submitted experiment."""
    from jobs.cli.submission import show_logs

    raise typer.Exit(show_logs(job, address, follow=follow, as_json=as_json))


@cluster.command(rich_help_panel=CLUSTER)
def stop(job: JobId, address: JobServerAddress = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Stop a submitted experiment; its finished runs are kept."""
    from jobs.cli.submission import stop_job

    stop_job(job, address, as_json=as_json)

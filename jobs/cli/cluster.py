"""The commands for experiments on a cluster: submit, list, status, logs, stop."""

from typing import Annotated

import typer

from jobs.cli.arguments import LEDGER, Json, Spec, Workers
from jobs.cluster.address import DEFAULT_ADDRESS

cluster = typer.Typer()

JobServerAddress = Annotated[
    str,
    typer.Option(
        "--address", envvar="RAY_API_SERVER_ADDRESS", help="URL of the cluster's job server."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job, as submit and list name it.")]
Follow = Annotated[bool, typer.Option("--follow", help="Show what it prints until it ends.")]


@cluster.command()
def submit(
    spec: Spec,
    address: JobServerAddress = DEFAULT_ADDRESS,
    ledger: Annotated[
        str | None,
        typer.Option(
            envvar=LEDGER,
            help="URI of the ledger, or a folder's absolute path on the cluster.",
            show_default=f"the cluster's {LEDGER}, or ~/runs on its head",
        ),
    ] = None,
    workers: Workers = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder of data sets on the cluster's head.")
    ] = None,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Run an experiment on a Ray cluster; submit again to continue one."""
    from jobs.cli.jobs import submit_experiment

    raise typer.Exit(
        submit_experiment(spec, address, ledger, workers, data_dir, follow=follow, as_json=as_json)
    )


@cluster.command("list")
def list_submitted(address: JobServerAddress = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the experiments that were submitted to a cluster."""
    from jobs.cli.jobs import show_jobs

    show_jobs(address, as_json=as_json)


@cluster.command()
def status(job: JobId, address: JobServerAddress = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Say where a submitted experiment is."""
    from jobs.cli.jobs import show_status

    show_status(job, address, as_json=as_json)


@cluster.command()
def logs(job: JobId, address: JobServerAddress = DEFAULT_ADDRESS, follow: Follow = False) -> None:
    """Show what a submitted experiment has printed."""
    from jobs.cli.jobs import show_logs

    raise typer.Exit(show_logs(job, address, follow=follow))


@cluster.command()
def stop(job: JobId, address: JobServerAddress = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Stop a submitted experiment; its runs are safe, submit again to continue."""
    from jobs.cli.jobs import stop_job

    stop_job(job, address, as_json=as_json)

"""`mupc dashboard`: a local web page over a ledger."""

import asyncio
import os
import secrets
import signal
import socket
from typing import TYPE_CHECKING

import results
from jobs.cli.conditions import parse_condition, require_column
from jobs.cli.options import TableName
from jobs.cli.terminal import say
from jobs.errors import CommandError
from results.uri import shown

if TYPE_CHECKING:
    import pandas as pd
    from aiohttp import web

TOKEN = "MUPC_DASHBOARD_TOKEN"
SHORTEST = 16  # characters of a token


def serve_dashboard(
    ledger: str, host: str, port: int, address: str | None, job: str | None
) -> None:
    """Serve the page until the user interrupts it.

    Raises:
        CommandError: the port cannot be listened on, a token is too short, plotly is not installed,
            or there is no such job.
        LedgerError: there is no ledger.
    """
    from jobs.dashboard.security import Guard, is_local
    from jobs.dashboard.server import application, plotly_script
    from jobs.dashboard.watcher import Watcher

    plotly = plotly_script()
    if address is not None:
        ledger = ledger_of_job(address, job)
    elif job is not None:
        raise CommandError("--job needs --address, the URL of the cluster's job server")
    opened = results.open(ledger)
    local = is_local(host)
    token = _token(local)
    listening = _listen(host, port)
    guard = Guard(token, local)
    app = application(Watcher(opened, selected), guard, plotly)
    place = _url(host, listening.getsockname()[1])
    tail = f"/?token={token}" if token else "/"
    say(f"dashboard of {shown(str(ledger))}: {place}{tail}")
    say("It only reads. Ctrl-C stops it.")
    if not local:
        say(
            "Without encryption: on a network that others share, listen on loopback and use an SSH "
            f"tunnel (ssh -L {port}:127.0.0.1:{port} HOST).",
            error=True,
        )
    asyncio.run(_serve(app, listening))


def selected(frame: "pd.DataFrame", where: list[str]) -> "pd.DataFrame":
    """Return the runs that meet conditions as `--where` has them.

    Raises:
        CommandError: a condition is none.
    """
    for text in where:
        condition = parse_condition(text.strip(), TableName.RUNS)
        require_column(condition.column, frame, "filter", "runs")
        if condition.operator == "=":
            column = frame[condition.column]
            met = column.isin([value for value in condition.values if value is not None])
            frame = frame[met | column.isna() if None in condition.values else met]
        else:
            frame = condition.rows(frame)
    return frame


def ledger_of_job(address: str, job: str | None) -> str:
    """Return where a job on a cluster stores its runs; by default the newest job.

    Raises:
        CommandError: there is no job, or its ledger is a folder on the cluster's head node.
    """
    from jobs.cluster.submit import list_jobs, status

    if job is not None:
        found = status(job, address)
    else:
        submitted = list_jobs(address)
        if not submitted:
            raise CommandError(f"no job was submitted to {address}: see 'mupc list'")
        found = submitted[0]
    ledger = found.place
    if ledger is None:
        raise CommandError(
            f"job {found.id} has not named the default ledger of the cluster yet, where it stores "
            "its runs: try again in a few seconds, or give its URI by --ledger"
        )
    if "://" not in ledger and not os.path.isdir(ledger):  # noqa: PTH112
        raise CommandError(
            f"job {found.id} stores its runs in {ledger} on the cluster's head node: run "
            f"mupc dashboard --ledger {ledger} there, and open it by an SSH tunnel"
        )
    say(f"job {found.id}, {found.status}: experiment {found.experiment}")
    return ledger


def _token(local: bool) -> str | None:
    given = os.environ.get(TOKEN, "").strip()
    if given and (len(given) < SHORTEST or not given.isascii() or not given.isprintable()):
        raise CommandError(f"{TOKEN} must have at least {SHORTEST} printable ASCII characters")
    return given or (None if local else secrets.token_urlsafe(24))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise CommandError(
            f"cannot listen on {host}, port {port}: {reason}; --port 0 takes a free one"
        ) from None
    return listening


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(app: "web.Application", listening: socket.socket) -> None:
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        await web.SockSite(runner, listening).start()
        await ended.wait()
    finally:
        await runner.cleanup()

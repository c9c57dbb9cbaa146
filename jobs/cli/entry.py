"""The exit of a command line: one sentence on stderr and status 2 for an error of the user."""

import io
import signal
import sys
from typing import NoReturn

import typer

from jobs.cli.exit_status import ExitStatus
from jobs.errors import is_users


def run_command(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line and exit with its status.

    Args:
        app: the commands.
        name: what the sentences begin with.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal lacks
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        _refuse(name, error.format_message().replace("Value error, ", ""))
    except typer.Abort:
        sys.exit(128 + signal.SIGINT)
    except (ValueError, RuntimeError) as error:
        if not is_users(error):
            raise
        _refuse(name, str(error))


def _refuse(name: str, message: str) -> NoReturn:
    typer.echo(f"{name}: {message}", err=True)
    sys.exit(ExitStatus.REFUSED)

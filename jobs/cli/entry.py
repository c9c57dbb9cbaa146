"""The exit of a command line: one sentence on stderr and status 2 for an error of the user."""

import sys
from typing import NoReturn

import typer

from jobs.errors import is_users


def run_command(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line and exit with its status.

    Args:
        app: the commands.
        name: what the sentences begin with.
    """
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        _refuse(name, error.format_message().replace("Value error, ", ""))
    except typer.Abort:
        sys.exit(130)
    except (ValueError, RuntimeError) as error:
        if not is_users(error):
            raise
        _refuse(name, str(error))


def _refuse(name: str, message: str) -> NoReturn:
    typer.echo(f"{name}: {message}", err=True)
    sys.exit(2)

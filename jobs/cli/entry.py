"""The exit of a command line: one sentence on stderr and status 2 for an error of the user."""

import os
import signal
import sys
from typing import NoReturn

import typer

from jobs.cli.exit_status import ExitStatus
from jobs.cli.terminal import discard, say, tolerated_streams
from jobs.errors import is_users, system_refusal
from results.uri import masked

VARIABLE = "_MUPC_COMPLETE"
"""The variable by which a shell asks `mupc` for completions."""

READER_GONE = 128 + signal.SIGPIPE


def run_command(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line and exit with its status.

    What the operating system refuses (no space, no permission, a folder that is gone) is told like
    an error of the user. A reader that closes the pipe early, such as head, is none.

    Args:
        app: the commands.
        name: of the command, with which sentences and usage begin.
    """
    if VARIABLE in os.environ:
        from typer.completion import completion_init

        completion_init()
    with tolerated_streams():
        try:
            status = app(standalone_mode=False, prog_name=name)
            sys.stdout.flush()
            sys.exit(status)
        except typer.TyperException as error:
            _refuse(name, error.format_message().replace("Value error, ", "") + _advice(error))
        except typer.Abort:
            sys.exit(128 + signal.SIGINT)
        except BrokenPipeError:
            discard(sys.stdout)
            sys.exit(READER_GONE)
        except SystemExit as error:
            if isinstance(error.__context__, BrokenPipeError):  # Typer's status is 1
                discard(sys.stdout)
                sys.exit(READER_GONE)
            raise
        except OSError as error:
            discard(sys.stdout)
            _refuse(name, system_refusal(error))
        except (ValueError, RuntimeError) as error:
            if not is_users(error):
                raise
            _refuse(name, str(error))


def _advice(error: typer.TyperException) -> str:
    """Return where to read on, for an argument that is missing."""
    context = getattr(error, "ctx", None)
    if context is None or not error.format_message().startswith("Missing"):
        return ""
    return f" `{context.command_path} --help` explains it."


def _refuse(name: str, message: str) -> NoReturn:
    say(f"{name}: {masked(message)}", error=True)
    sys.exit(ExitStatus.REFUSED)

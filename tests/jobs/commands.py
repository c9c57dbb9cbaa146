"""The commands of `mupc`, as the command line knows them."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from jobs.cli.main import app


def commands() -> dict[str, Any]:
    """Return every command by its words, such as "run"; groups of commands have none."""
    return dict(_leaves("", get_command(app)))


def options(command: Any) -> set[str]:
    """Return the long options of a command."""
    return {option for each in command.params for option in each.opts if option.startswith("--")}


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, each in (inner or {}).items():
        yield from _leaves(f"{name} {word}".strip(), each)

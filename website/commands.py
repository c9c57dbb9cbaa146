"""The page of every command and option, made from the command line itself."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.main import get_command

from jobs.cli.main import app

INTRODUCTION = """# Every command

Arguments and options of `mupc`, as `mupc COMMAND --help` prints them. [Command line](../cli.md)
explains exit statuses, queries and signals.
"""

VALUES = {Path: "PATH", int: "NUMBER", float: "NUMBER"}


def page() -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    for name, command in get_command(app).commands.items():
        lines += _section(name, command)
    return "\n".join(lines)


def _section(name: str, command: TyperCommand) -> Iterator[str]:
    arguments = [_value(item) for item in command.params if isinstance(item, TyperArgument)]
    yield f"## mupc {name} {{ #{name} }}\n"
    yield f"{command.help}\n"
    yield f"```text\n{' '.join(['mupc', name, *arguments, '[OPTIONS]'])}\n```\n"
    yield "| argument or option | value | default | |\n|---|---|---|---|"
    for parameter in command.params:
        if not parameter.hidden:
            cells = _row(parameter)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _row(parameter: TyperArgument | TyperOption) -> tuple[str, str, str, str]:
    """Return the names, the value, the default and the help of an argument or option."""
    help_text = parameter.help or ""
    if parameter.envvar:
        help_text += f" Environment variable: `{parameter.envvar}`."
    if isinstance(parameter, TyperArgument):
        return f"`{_value(parameter)}`", "", _default(parameter), help_text
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f"`{_value(parameter)}`"
    return names, value, _default(parameter), help_text


def _value(parameter: TyperArgument | TyperOption) -> str:
    """Return what the help shows for a value."""
    if parameter.metavar:
        return parameter.metavar
    if isinstance(parameter, TyperArgument):
        return parameter.name.upper()
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    return VALUES.get(kind, "TEXT")


def _default(parameter: TyperArgument | TyperOption) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    default = parameter.default
    if default in (None, False, ()):
        return ""
    if default is True:
        return f"`{parameter.opts[0]}`"
    return f"`{getattr(default, 'value', default)}`"

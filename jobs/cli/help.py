"""Help texts in words: one line per argument and option, commands in groups.

Typer's own show the types of Python (`<bool>`, `<path>`), and take longer to draw.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter

F = TypeVar("F", bound=Callable[..., object])

START, RUN, QUERY, CLUSTER = "Begin", "Run", "Read results", "Run on a cluster"
"""Headings, in this order."""

OTHERS = "Commands"
"""Heading of commands without a group."""

WORDS = {"path": "PATH", "str": "TEXT", "int": "N", "float": "NUMBER"}
"""What stands for a value whose option has no metavar of its own."""

_TYPE = re.compile(r" <([^>]*)>")
_PARENTHESES = re.compile(r"default: \((.*?)\)(?=[;\]])")


class Command(TyperCommand):
    """A command whose help is in words."""

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:
        return _usage(self, ctx)

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        _write_parameters(self, ctx, formatter)


class Commands(TyperGroup):
    """A group of commands, listed under the headings that their `rich_help_panel` names."""

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:
        return [*_usage(self, ctx), self.subcommand_metavar]

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self, ctx, formatter)

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        shown = {name: each for name, each in found.items() if each and not each.hidden}
        panels = [getattr(each, "rich_help_panel", None) or OTHERS for each in shown.values()]
        gap = max(map(len, shown), default=0)
        for panel in dict.fromkeys((START, RUN, QUERY, CLUSTER, *panels)):
            rows = [
                (name.ljust(gap), " ".join((each.help or "").partition("\n\n")[0].split()))
                for (name, each), place in zip(shown.items(), panels, strict=True)
                if place == panel
            ]
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)


class Application(typer.Typer):
    """A command line of `Command`s."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            cls=Commands,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            **options,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Register a function as a command; the options are those of `typer.Typer.command`."""
        return super().command(name, cls=Command, **options)


def _usage(command: "AnyCommand", ctx: "Context") -> list[str]:
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    return ["[OPTIONS]", *(_argument(each, usage=True) for each in arguments)]


def _argument(argument: TyperArgument, *, usage: bool) -> str:
    name = argument.metavar or argument.name.upper()
    if not usage or argument.required or name.startswith("["):
        return name
    return f"[{name}]"


def _write_parameters(command: "AnyCommand", ctx: "Context", formatter: "HelpFormatter") -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        name, text = record
        if isinstance(parameter, TyperArgument):
            sections["Arguments"].append((_argument(parameter, usage=False), _sentence(text)))
        else:
            sections["Options"].append((_TYPE.sub(_word, name), _sentence(text)))
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _word(found: "re.Match[str]") -> str:
    return f" {WORDS.get(found[1], found[1])}"


def _sentence(text: str) -> str:
    """Return a help text without what the usage line says already."""
    text = text.replace("; required]", "]").replace("[required]", "")
    return _PARENTHESES.sub(r"default: \1", text).strip()

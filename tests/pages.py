"""Code blocks of Markdown pages: how they are found, run and compared with the output shown.

A page is run from top to bottom in one folder, like a notebook: its Python blocks share their
names, and its commands find the files that earlier blocks wrote. What each kind of block does:

    python    is executed; a `text` block that follows at once is what it prints
    console   lines after "$ " are run, the lines below them are what they print
    yaml      is read as a spec; the sections of a part are put into a small spec first
    toml      is parsed
    text, ... are not run; bash is the README's installation, which tests/test_wheel.py runs

A block whose first line is a comment with a file's name is only written to that file, for commands
below.
The comment `<!-- not run: reason -->` above a block leaves it out; the `mupc` commands in it must
still exist with their options.
"""

import io
import math
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from typer.main import get_command

from jobs.cli.main import app, main
from transfer.spec.model import Experiment
from transfer.spec.yaml import parse_yaml

ROOT = Path(__file__).parents[1]

RUN = ("python", "console", "yaml", "toml")
SHOWN = ("text", "json", "bibtex", "bash")
"""Languages of blocks that are run, and of those that only show something."""

_BLOCK = re.compile(
    r"(?:<!--\s*not run:\s*(?P<reason>.*?)\s*-->\s*\n+)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$(?P<gap>\n*)",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml|toml|csv))\n")
_PIECE = re.compile(r"\d+(?:,\d{3})*(?:\.\d*)?(?:e[+-]?\d+)?|[^\W\d]+|\S")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: the word after the opening fence.
        text: the lines between the fences.
        place: the page and the line of the opening fence.
        reason: why it is not run; "" if it is.
        output: what the page shows as its output, in a `text` block that follows at once.
    """

    language: str
    text: str
    place: str
    reason: str = ""
    output: str = ""

    @property
    def file(self) -> str:
        """The name of the file that the block is, or ""."""
        name = _FILE.match(self.text)
        return name[1] if name else ""

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield the commands of a console block with the output that is shown for each."""
        joined = self.text.replace("\\\n", " ")
        for piece in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            command, _, shown = piece.partition("\n")
            yield command.partition("  #")[0].strip(), shown


def blocks(markdown: str, name: str = "page") -> list[Block]:
    """Return the blocks of a page."""
    found: list[Block] = []
    end = -1
    for match in _BLOCK.finditer(markdown):
        line = markdown.count("\n", 0, match.start("language")) + 1
        follows = bool(found) and match.start() == end and found[-1].language == "python"
        if follows and match["language"] == "text":
            found[-1] = Block(**{**vars(found[-1]), "output": match["text"]})
        found.append(
            Block(match["language"], match["text"], f"{name}:{line}", match["reason"] or "")
        )
        end = match.end()
    return found


def page_blocks(path: Path) -> list[Block]:
    """Return the blocks of a file."""
    return blocks(path.read_text(), path.relative_to(ROOT).as_posix())


def missing(shown: str, output: str) -> str:
    """Return the first shown line that is not in the output, or "".

    Words and whole numbers must be equal, in order. Numbers with a decimal point, which depend on
    the machine's rounding, may differ by 10 % or 0.05; `...` stands for anything.
    """
    rest = _PIECE.findall(output)
    for line in filter(None, map(str.strip, shown.splitlines())):
        for part in filter(None, map(str.strip, line.split("..."))):
            wanted = _PIECE.findall(part)
            starts = range(len(rest) - len(wanted) + 1)
            start = next((i for i in starts if all(map(_agree, wanted, rest[i:]))), None)
            if start is None:
                return line
            rest = rest[start + len(wanted) :]
    return ""


def _agree(wanted: str, found: str) -> bool:
    if wanted == found or "." not in wanted or not wanted[0].isdigit() or not found[0].isdigit():
        return wanted == found
    one, other = (float(number.replace(",", "")) for number in (wanted, found))
    return math.isclose(one, other, rel_tol=0.1, abs_tol=0.05)


def mentioned_commands(markdown: str) -> list[str]:
    """Return the words after `mupc` of every command in inline code or after "$ "."""
    text = markdown.replace("\\\n", " ")
    inline = re.findall(r"`mupc ([a-z][^`]*)`", text)
    typed = re.findall(r"^\$ (?:.*[;&|(] *|.*\bdo )?mupc ([a-z].*)$", text, re.MULTILINE)
    return [*inline, *(re.split(r"[;&|)]| #", command)[0] for command in typed)]


def is_known(command: str) -> bool:
    """Return whether a command of `mupc` exists, with the options that its words name."""
    group = get_command(app)
    name, *words = command.split()
    if name not in group.commands:
        return False
    parameters = group.commands[name].params
    options = {name for item in parameters for name in (*item.opts, *item.secondary_opts)}
    named = {word.partition("=")[0] for word in words if re.match("--[a-z]", word)}
    return named <= options | {"--help"}


@dataclass
class Runner:
    """Runs the blocks of one page in the present folder.

    Attributes:
        names: the names that the page's Python blocks have defined.
    """

    names: dict[str, object] = field(default_factory=lambda: {"__name__": "__main__"})

    def run(self, block: Block) -> None:
        """Run a block; fail if an error occurs or the output is not what the page shows."""
        if block.reason or block.language in SHOWN:
            return
        if block.file:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            return
        if block.language == "python":
            self._compare(block, block.output, self._python(block))
        elif block.language == "console":
            for command, shown in block.commands():
                self._compare(block, shown, self._command(block, command))
        elif block.language == "yaml":
            read_spec(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)

    def _compare(self, block: Block, shown: str, output: str) -> None:
        line = missing(shown, output)
        assert not line, f"{block.place}: the output has no line {line!r}:\n{output}"

    def _python(self, block: Block) -> str:
        code = compile(block.text, block.place, "exec")
        with redirect_stdout(io.StringIO()) as out:
            exec(code, self.names)
        return out.getvalue()

    def _command(self, block: Block, command: str) -> str:
        """Run `mupc` and `python` in this process, which saves their imports, others in a shell."""
        program, *words = command.split(maxsplit=1)
        if re.search(r"[$|<>;&]", re.sub(r"'[^']*'|\"[^\"]*\"", "", command)):
            return _in_shell(block, command)
        arguments = shlex.split(words[0]) if words else []
        if program == "mupc":
            return _mupc(block, command, arguments)
        if program == "python" and arguments and arguments[0].endswith(".py"):
            with redirect_stdout(io.StringIO()) as out:
                runpy.run_path(arguments[0], run_name="__main__")
            return out.getvalue()
        return _in_shell(block, command)


def _mupc(block: Block, command: str, arguments: list[str]) -> str:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "argv", ["mupc", *arguments]),
        patch.dict(os.environ, {"COLUMNS": "200"}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert not code, f"{block.place}: {command} exits with {code}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue()


def _in_shell(block: Block, command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command], capture_output=True, text=True, env=os.environ | {"PATH": path}
    )
    assert done.returncode == 0, f"{block.place}: {command} fails\n{done.stdout}{done.stderr}"
    return done.stdout


SMALL: dict[str, object] = {
    "name": "small",
    "dataset": "mnist",
    "training": {"steps": 1},
    "tune": {"width": 4, "depth": 2, "weight_lr": [0.01, 0.1, 1], "activity_lr": [0.1]},
    "transfer": {"depths": [3]},
}
"""The spec that the sections of a part are put into."""


def read_spec(text: str) -> Experiment:
    """Return the experiment of a spec, or of a part of one."""
    part = dict(parse_yaml(text).value)
    if missing_sections := SMALL.keys() - part.keys():
        part |= {name: SMALL[name] for name in missing_sections}
    for section in ("training", "tune"):
        part[section] = {**_unless_given(section, part[section]), **part[section]}
    return Experiment.from_dict(part)


def _unless_given(section: str, given: dict[str, object]) -> dict[str, object]:
    base = dict(SMALL[section])
    if "epochs" in given:
        del base["steps"]
    return base

"""Help: quick, in words, with `--json` in every command."""

import os
import re
import subprocess
import sys

import pytest
from command import MUPC, called
from commands import commands, options

MOST_SECONDS = 0.4
FORWARDS = {"reproduce"}
"""Commands that pass all options on."""

SERVES = {"dashboard"}
"""Commands that print nothing but their address until they are stopped."""


@pytest.mark.parametrize("name", ["", *sorted(set(commands()) - FORWARDS)])
def test_help_is_in_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = called(capsys, *name.split(), "--help").stdout
    assert text.startswith(f"Usage: mupc {name}".rstrip())
    assert not re.search(r"<\w+>|\b(INTEGER|FLOAT|BOOLEAN|TEXT|PATH|NUMBER)\b|_", _words(text)), (
        text
    )
    assert max(map(len, text.splitlines())) <= 100


def _words(text: str) -> str:
    """Return a help text without variables of the environment."""
    return re.sub(r"\b(MUPC|RAY)_[A-Z_]+\b", "", text)


@pytest.mark.parametrize("name", sorted(commands()))
def test_first_line_is_one_short_sentence(name: str) -> None:
    first = commands()[name].help.partition("\n\n")[0]
    assert first.endswith("."), name
    assert len(first) <= 75, name


def test_every_command_has_json() -> None:
    without = {name for name, each in commands().items() if "--json" not in options(each)}
    assert without <= FORWARDS | SERVES


def test_commands_are_listed_under_headings(capsys: pytest.CaptureFixture[str]) -> None:
    text = called(capsys, "--help").stdout
    headings = ["Begin:", "Run:", "Read results:", "Run on a cluster:", "Options:"]
    places = [text.index(f"\n{heading}\n") for heading in headings]
    assert places == sorted(places)
    assert "\nCommands:\n" not in text, "a command without a heading"
    for name in {name.split()[0] for name in commands()}:
        assert re.search(rf"^  {name} ", text, re.MULTILINE), name


def test_help_takes_less_than_its_bound() -> None:
    """The processor time of the quickest of three: that of a busy machine says nothing."""

    def seconds() -> float:
        before = os.times()
        subprocess.run([*MUPC, "--help"], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        return (after.children_user - before.children_user) + (
            after.children_system - before.children_system
        )

    assert min(seconds() for _ in range(3)) < MOST_SECONDS


def test_help_draws_without_rich() -> None:
    script = (
        "import sys; from jobs.cli.main import main; sys.argv = ['mupc', 'run', '--help']\n"
        "try: main()\n"
        "except SystemExit: print('rich' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False False"

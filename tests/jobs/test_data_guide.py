"""The guide to own data (docs/data.md), run in order in one folder and one process."""

import shlex
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from command import mupc
from test_readme import Block, blocks

from transfer.spec.dataset import FileSection

GUIDE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture(scope="module")
def guide() -> list[Block]:
    return list(blocks(GUIDE.read_text()))


def test_examples_run_and_print_what_the_guide_shows(guide: list[Block], tmp_path: Path) -> None:
    names: dict[str, object] = {}
    for block in guide:
        if block.language == "python":
            with chdir(tmp_path):
                exec(compile(block.text, f"{GUIDE}:{block.line}", "exec"), names)
        elif block.language == "console":
            for command in block.commands():
                done = mupc(tmp_path, *shlex.split(command)[1:])
                assert done.returncode == 0, f"{command}\n{done.stderr}"
                if command.startswith("mupc datasets"):
                    shown = block.text.split("\n$ ")[0].splitlines()[1:-1]
                    assert done.stdout.splitlines()[: len(shown)] == shown
    assert "0 of them trained now" in done.stdout


def test_keys_of_a_spec_are_in_the_guide(guide: list[Block]) -> None:
    text = GUIDE.read_text()
    for key in FileSection.model_fields:
        assert f"`{key}`" in text or f"{key}:" in text
    (example,) = (block for block in guide if block.language == "yaml")
    FileSection.model_validate(yaml.safe_load(example.text)["dataset"])

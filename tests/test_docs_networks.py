"""The examples of docs/networks.md, run unchanged and in order."""

from pathlib import Path

import pytest
from test_readme import RUNNABLE, Block, blocks, run

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"


def execute(code: str, name: str) -> None:
    """Run Python code in this process, which has loaded JAX, as a module of its own."""
    exec(compile(code, name, "exec"), {"__name__": name})


def example(block: Block, folder: Path) -> None:
    if block.language == "python":
        execute(block.text, f"networks.md:{block.line}")
    else:
        run(block, folder)


@pytest.mark.slow
def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [block for block in blocks(PAGE.read_text()) if block.language in RUNNABLE]
    assert len(examples) == 7
    for block in examples:
        example(block, tmp_path)

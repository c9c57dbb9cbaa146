"""The examples of docs/networks.md, run unchanged and in order, and that of pccore's docstring."""

import inspect
import textwrap
from pathlib import Path

import pytest
from test_readme import RUNNABLE, Block, blocks, run

import pccore

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"


def execute(code: str, name: str) -> None:
    """Run Python code in this process, which has loaded JAX, as a module of its own."""
    exec(compile(code, name, "exec"), {"__name__": name})


def example(block: Block, folder: Path) -> None:
    if block.language == "python":
        execute(block.text, f"networks.md:{block.line}")
    else:
        run(block, folder)


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [block for block in blocks(PAGE.read_text()) if block.language in RUNNABLE]
    assert len(examples) == 7
    for block in examples:
        example(block, tmp_path)


def test_first_lines_of_pccore_train_a_network_of_ones_own_layers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = (inspect.getdoc(pccore) or "").split("\n")
    execute(textwrap.dedent("\n".join(x for x in lines if x.startswith("    "))), "docstring")
    assert float(capsys.readouterr().out) > 0.9

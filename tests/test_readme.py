"""The README's examples, run unchanged and in order in one folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNNABLE = ("python", "console")

_BLOCK = re.compile(
    r"(?:<!--\s*not run:\s*(?P<reason>[^\n]*?)\s*-->\s*\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        language: the word after the opening fence.
        text: the lines between the fences.
        line: the line of the opening fence.
        reason: the reason in a comment `<!-- not run: reason -->` above the block; "" if it is run.
    """

    language: str
    text: str
    line: int
    reason: str

    def commands(self) -> list[str]:
        """Return the commands of a console block: lines after "$ " with their continuations."""
        joined = self.text.replace("\\\n", " ")
        return [line[2:].strip() for line in joined.splitlines() if line.startswith("$ ")]


def blocks(markdown: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(markdown):
        line = markdown.count("\n", 0, match.start("language")) + 1
        yield Block(match["language"], match["text"], line, match["reason"] or "")


def readme() -> list[Block]:
    return list(blocks((ROOT / "README.md").read_text()))


def run(block: Block, folder: Path) -> None:
    """Run Python code in a fresh process, or each console command in a shell."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",  # these trainings are longer than the tests' own
    }
    if block.language == "python":
        (folder / "example.py").write_text(block.text)
        commands = [[sys.executable, "example.py"]]
    else:
        commands = [["bash", "-ec", command] for command in block.commands()]
    for command in commands:
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environment
        )
        assert result.returncode == 0, (
            f"README.md:{block.line}: {command[-1]} failed\n{result.stdout}\n{result.stderr}"
        )


def test_examples_run(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    examples = [block for block in readme() if block.language in RUNNABLE and not block.reason]
    assert {block.language for block in examples} == set(RUNNABLE)
    for block in examples:
        run(block, tmp_path)


def test_every_block_is_run_or_has_a_reason_not_to_be() -> None:
    """Without a language or "$ " a block would be skipped silently."""
    first, *others = readme()
    assert first.language == "bash"  # to paste; tests/test_wheel.py does
    for block in others:
        assert block.language not in ("", "sh", "bash", "shell", "py"), f"README.md:{block.line}"
        if block.language == "console":
            assert block.commands(), f"README.md:{block.line}: no line starts with '$ '"


DOCUMENT = """
```python
print(1)
```

<!-- not run: needs a cluster -->
```console
$ mupc run a.yaml \\
    --pool ray
what it prints
$ mupc report
```
```yaml
name: x
```
"""


def test_finds_blocks_with_lines_and_reasons() -> None:
    found = [(block.language, block.line, block.reason) for block in blocks(DOCUMENT)]
    assert found == [("python", 2, ""), ("console", 7, "needs a cluster"), ("yaml", 13, "")]


def test_separates_commands_from_output() -> None:
    console = next(block for block in blocks(DOCUMENT) if block.language == "console")
    assert [command.split() for command in console.commands()] == [
        ["mupc", "run", "a.yaml", "--pool", "ray"],
        ["mupc", "report"],
    ]


@pytest.mark.parametrize(
    "block", [Block("python", "1 / 0", 3, ""), Block("console", "$ true\n$ false\n", 3, "")]
)
def test_failing_example_fails_the_test(block: Block, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"README\.md:3: (example.py|false) failed"):
        run(block, tmp_path)

"""Every code block of the README and of docs/ runs, or says why not (see pages.py)."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import jax
import pytest
from pages import (
    ROOT,
    RUN,
    SHOWN,
    Block,
    Runner,
    blocks,
    is_known,
    mentioned_commands,
    missing,
    page_blocks,
    read_spec,
)

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def runnable(page: Path) -> list[Block]:
    return [block for block in page_blocks(page) if block.language in RUN and not block.reason]


@pytest.fixture(scope="module", autouse=True)
def compiler_of_users() -> Iterator[None]:
    """Optimise programs as users do, so that outputs and run ids are those that pages show."""
    variable = "JAX_DISABLE_MOST_OPTIMIZATIONS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, "0")
        patch.delenv("XLA_FLAGS", raising=False)
        before = jax.config.values[variable.lower()]
        jax.config.update(variable.lower(), False)
        yield
        jax.config.update(variable.lower(), before)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger of the README's first experiment, which every page finds in its folder `runs`."""
    folder = tmp_path_factory.mktemp("readme")
    first = next(block for block in runnable(ROOT / "README.md") if block.language == "python")
    with chdir(folder):
        Runner().run(first)
    return folder / "runs"


ELSEWHERE = ("docs/bridges.md",)
"""Pages that another test runs: tests/jobs/test_bridges_page.py, with a smaller experiment."""

LONG = (
    *("docs/any-training.md", "docs/data.md", "docs/modes.md", "docs/networks.md"),
    *("docs/plugins.md", "docs/tutorial.md"),
)
"""Pages whose sweeps compile for long; quicker tests cover what they do."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name(page), marks=[pytest.mark.slow] if name(page) in LONG else [])
        for page in PAGES
        if runnable(page) and name(page) not in ELSEWHERE
    ],
)
def test_blocks_run(
    page: Path, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ledger, tmp_path / "runs")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # no command changes the settings of the user
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    runner = Runner()
    for block in page_blocks(page):
        runner.run(block)
    for module in set(sys.modules) - before:  # modules that the page wrote
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_is_run_shown_or_has_a_reason(page: Path) -> None:
    for block in page_blocks(page):
        assert block.language in (*RUN, *SHOWN), f"{block.place}: write one of {RUN + SHOWN}"
        if block.language == "console":
            assert list(block.commands()), f"{block.place}: no line starts with '$ '"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist_with_their_options(page: Path) -> None:
    for command in mentioned_commands(page.read_text()):
        assert is_known(command), f"{name(page)}: mupc {command}"


PAGE = """
```python
print(1)
```

```text
1
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


def test_finds_blocks_with_places_reasons_and_outputs() -> None:
    found = [(b.language, b.place, b.reason, b.output) for b in blocks(PAGE)]
    assert found == [
        ("python", "page:2", "", "1\n"),
        ("text", "page:6", "", ""),
        ("console", "page:11", "needs a cluster", ""),
        ("yaml", "page:17", "", ""),
    ]


def test_separates_commands_from_their_output() -> None:
    console = next(block for block in blocks(PAGE) if block.language == "console")
    commands = [(command.split(), shown) for command, shown in console.commands()]
    assert commands == [
        (["mupc", "run", "a.yaml", "--pool", "ray"], "what it prints\n"),
        (["mupc", "report"], ""),
    ]
    assert [text.split()[0] for text in mentioned_commands(PAGE)] == ["run", "report"]


@pytest.mark.parametrize(
    "block",
    [
        Block("python", "1 / 0", "page:3"),
        Block("python", "print(1.2)", "page:3", output="2.1"),
        Block("console", "$ true\n$ false\n", "page:3"),
        Block("console", "$ mupc results --ledger nowhere\n", "page:3"),
        Block("console", "$ mupc --version\nmupc 7\n", "page:3"),
        Block("yaml", "tune: {widht: 3}", "page:3"),
    ],
    ids=lambda block: block.text,
)
def test_a_block_that_fails_or_prints_something_else_fails(block: Block) -> None:
    with pytest.raises((AssertionError, ZeroDivisionError, ValueError)):
        Runner().run(block)


@pytest.mark.parametrize(
    ("shown", "output", "line"),
    [
        ("loss 0.0495 held", "epoch 3\nloss  0.0501   held\n", ""),
        ("loss 0.0495 held", "loss 0.0495 drifted", "loss 0.0495 held"),
        ("8 layers", "9 layers", "8 layers"),
        ("a ... b\nc", "a x y b c", ""),
        ("b\na", "a b", "a"),
    ],
)
def test_compares_shown_lines(shown: str, output: str, line: str) -> None:
    assert missing(shown, output) == line


def test_a_part_of_a_spec_is_put_into_a_small_one() -> None:
    assert read_spec("training: {epochs: 2}").training.epochs == 2
    assert read_spec("network: {activation: tanh}").name == "small"


@pytest.mark.parametrize(
    ("command", "known"),
    [("run a.yaml --pool ray", True), ("run a.yaml --poool ray", False), ("runn a.yaml", False)],
)
def test_knows_commands(command: str, known: bool) -> None:
    assert is_known(command) == known


def test_links_of_pages_lead_to_files() -> None:
    """The forge shows the same links; the site's own are checked when it is built."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{name(page)}: {target}"


def test_environment_is_that_of_users() -> None:
    assert os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "0"

"""The examples of docs/plugins.md: its files written into a folder, its commands run there."""

import re
import runpy
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from command import mupc
from test_readme import ROOT, blocks

FILE = re.compile(r"# (\w+\.(?:py|yaml))\n")
"""The first line of a block that is a file."""


@pytest.mark.slow
def test_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = list(blocks((ROOT / "docs" / "plugins.md").read_text()))
    commands = []
    for block in page:
        if name := FILE.match(block.text):
            (tmp_path / name[1]).write_text(block.text)
        elif block.language == "console":
            commands += block.commands()
        else:
            assert block.language == "toml"
    monkeypatch.syspath_prepend(str(tmp_path))
    outputs = []
    for program, *words in map(str.split, commands):
        if program == "mupc":
            done = mupc(tmp_path, *words)
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
        else:
            with chdir(tmp_path):
                runpy.run_path(words[0], run_name="__main__")
            outputs.append(capsys.readouterr().out)
    for module in ("my_module", "my_layers"):
        sys.modules.pop(module)
    run, query, sweep, layers, exact = outputs
    assert "2 of them trained" in layers or "3 of them trained" in layers
    assert "0 of them trained" not in run
    digest = "@[0-9a-f]{12}"
    for name in ("swish", "Halves", "clipped_lion"):
        (found,) = set(re.findall(name + digest, query))
        assert f"my_module:{found}" in sweep  # the same code, from a spec and from Python
    assert re.search(f"Square{digest} .*2.0*e-20", exact, re.DOTALL)

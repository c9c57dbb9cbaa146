"""The examples of docs/any-training.md: its files written into a folder, its commands run there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import mupc
from test_readme import ROOT, blocks

FILE = re.compile(r"# (\w+\.(?:py|yaml))\n")
"""The first line of a block that is a file."""


@pytest.mark.slow
def test_examples_run(tmp_path: Path) -> None:
    commands = []
    for block in blocks((ROOT / "docs" / "any-training.md").read_text()):
        if name := FILE.match(block.text):
            (tmp_path / name[1]).write_text(block.text)
        elif block.language == "console":
            commands += block.commands()
        else:
            assert block.reason
    outputs = {}
    for program, *words in map(str.split, commands):
        if program == "mupc":
            done = mupc(tmp_path, *words)
        else:
            done = subprocess.run(
                [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stderr
        outputs[" ".join(words[:2])] = done.stdout
    sweep, ran = outputs["deep_linear.py"], outputs["run spec.yaml"]
    assert re.search(r"train +lr: exponents depth -1 +8 x 8 +0.0\d", sweep)
    assert (tmp_path / "report" / "index.html").exists()
    # The spec has cells of the script's sweep, which are not trained again.
    total, new = map(int, re.search(r"(\d+) runs, (\d+) of them", ran).groups())  # type: ignore[union-attr]
    assert 0 <= new < total
    rows = outputs["results --columns"].splitlines()
    assert rows[0].split() == ["lr", "friction", "depth", "seed", "outcome", "final_train_loss"]
    assert all(float(row.split()[0]) > 0.01 for row in rows[1:] if row.split()[0] != "-")
    assert re.search(r"train +1 x 3 .*(held|drifted|inconclusive)", outputs["program.py"])

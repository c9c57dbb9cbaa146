"""The examples of docs/bridges.md, run in order in one folder on a smaller experiment."""

import json
import logging
import shlex
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from command import mupc
from pages import ROOT, Block, page_blocks

import transfer
from jobs.bridges import FORMS

PAGE = ROOT / "docs" / "bridges.md"
SMALLER = {
    "training": {"batch_size": 64, "steps": 20, "eval_every": 10},
    "variants": ["mupc"],
    "transfer": {"depths": [9]},
}


@pytest.fixture(scope="module")
def page() -> list[Block]:
    return page_blocks(PAGE)


def test_examples_run(
    page: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_reports: None
) -> None:
    (tmp_path / "examples").mkdir()
    whole = yaml.safe_load((ROOT / "examples" / "digits.yaml").read_text())
    few = {**whole["tune"], "weight_lr": [0.1, 0.03], "activity_lr": [10], "seeds": 1}
    small = tmp_path / "examples" / "digits.yaml"
    small.write_text(yaml.safe_dump({**whole, **SMALLER, "tune": few}))
    monkeypatch.setattr(logging.root, "handlers", [])
    names: dict[str, object] = {}
    for block in page:
        if block.reason:
            continue
        if block.language == "python":
            with chdir(tmp_path):
                exec(compile(block.text, block.place, "exec"), names)
        elif block.language == "console":
            for command, _ in block.commands():
                done = mupc(tmp_path, *shlex.split(command)[1:])
                assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "huggingface" / "croissant.json").exists()


def test_page_has_every_form_and_every_event(page: list[Block]) -> None:
    text = PAGE.read_text()
    for form, facts in FORMS.items():
        assert f"`mupc export {form}`" in text
        assert facts.place in text
    for event in (name for name in vars(transfer.Progress) if not name.startswith("_")):
        assert f"`{event}(" in text
    (lines,) = (block.text for block in page if block.language == "json")
    assert [json.loads(line)["event"] for line in lines.splitlines()] == [
        "verdict",
        "failure",
        "end",
    ]

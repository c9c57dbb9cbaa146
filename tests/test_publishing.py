"""What a forge and a package index read: CI, hooks, templates; and what `make run` says."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_ci_runs_the_targets_of_make_on_every_version_that_is_promised() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    called = {step.split()[1] for step in steps if step.startswith("make ")}
    assert called <= targets()
    assert {"install", "lint", "types", "test", "dist"} <= called
    promised = [
        text.rpartition(" ")[2]
        for text in PROJECT["classifiers"]
        if re.fullmatch(r".*:: 3\.\d+", text)
    ]
    assert jobs["check"]["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_hooks_are_tools_of_the_environment() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        tool = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert tool.startswith(".venv/bin/")
        assert (Path(sys.executable).parent / Path(tool).name).exists()


def test_issue_forms_have_what_a_forge_requires() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    for form in forms:
        if form.name == "config.yml":
            continue
        content = read(str(form.relative_to(ROOT)))
        assert {"name", "description", "body"} <= set(content)
        ids = [field["id"] for field in content["body"]]
        assert len(set(ids)) == len(ids)
        assert all(field["attributes"]["label"] for field in content["body"])
    assert len(forms) > 1


def test_citation_has_what_its_format_requires() -> None:
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]


def test_extras_are_those_of_the_readme() -> None:
    line = re.search(r"Extras: (.*?)\. `mupc\s", (ROOT / "README.md").read_text(), re.DOTALL)
    assert line is not None
    assert set(re.findall(r"`(\w+)`", line[1])) == set(PROJECT["optional-dependencies"])


def test_make_run_says_how_to_use_mupc_afterwards() -> None:
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    # Everything is taken as up to date, and nothing is run.
    command = ["make", "--dry-run", "--assume-old=.venv/.ready", "run"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "mupc run examples/digits.yaml" in text
    said = text[text.index("digits.yaml") :]
    assert "source .venv/bin/activate" in said
    assert f"{ROOT}/.venv/bin/mupc" in said
    assert "mupc new" in said

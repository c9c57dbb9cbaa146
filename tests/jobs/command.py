"""Helpers for tests of the command line: a tiny experiment, and `mupc` as a process."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from jobs.cli.main import main

MUPC = [sys.executable, "-m", "mupc"]

TINY = {
    "name": "tiny",
    "dataset": "digits",
    "variants": ["mupc", {"name": "bp", "weight_lr": [0.1, 0.03]}],
    "training": {"batch_size": 64, "steps": 60, "eval_every": 20},
    "tune": {
        "width": 8,
        "depth": 2,
        "weight_lr": [0.3, 0.1, 0.03],
        "activity_lr": [10, 1],
        "seeds": 2,
    },
    "transfer": {"depths": [3]},
}


def write_spec(folder: Path, **changes: object) -> Path:
    """The tiny experiment as a YAML file, with other values for some keys."""
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


def make_plain_folders(folder: Path) -> None:
    """Make folders with the names of the packages, which must not take the packages' place."""
    for name in ("jobs", "pccore", "results", "transfer"):
        (folder / name).mkdir()
        (folder / name / "notes.txt").touch()


def start(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """Start `mupc` in a folder."""
    return subprocess.Popen(
        [*MUPC, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def mupc(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `mupc` in a folder until it ends."""
    process = start(folder, *arguments, **variables)
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def called(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run `mupc` in this process, where its libraries are loaded already."""
    with patch.object(sys, "argv", ["mupc", *arguments]), pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    code = end.value.code
    return subprocess.CompletedProcess(arguments, code if isinstance(code, int) else 0, out, err)

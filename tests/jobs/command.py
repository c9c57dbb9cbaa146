"""Helpers for tests of the command line: a tiny experiment, and `mupc` here or as a process."""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
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
    """Run `mupc` in this process, as if started in a folder; saves the seconds of its imports."""
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(folder),
        patch.dict(os.environ, variables),
        patch.object(sys, "argv", ["mupc", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = exit_code()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def mupc_process(
    folder: Path, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run `mupc` in a folder as a process of its own until it ends."""
    process = start(folder, *arguments, **variables)
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def called(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run `mupc` in this process and its current folder."""
    with patch.object(sys, "argv", ["mupc", *arguments]):
        code = exit_code()
    out, err = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, code, out, err)


def exit_code() -> int:
    """Run the command with `sys.argv`; return the status with which it exits."""
    with pytest.raises(SystemExit) as end:
        main()
    code = end.value.code
    return code if isinstance(code, int) else 0

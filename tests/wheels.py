"""An environment of its own with the wheel; `conftest.py` has it as fixtures."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("mupc", "pccore", "results", "transfer", "jobs")
FILES = (
    *("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"),
    *("CONTRIBUTING.md", "SECURITY.md", "constraints.txt", "setup.py"),
)


def checked(command: list[str], **options: object) -> str:
    """Run a command that must succeed; returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


def outside() -> dict[str, str]:
    """Return an environment in which Python does not find the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def copy_source(folder: Path) -> None:
    """Copy the project, because building writes into the source tree."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.so")
    for each in (*PACKAGES, "examples", "experiments", "tests", "benchmarks"):
        shutil.copytree(ROOT / each, folder / each, ignore=unwanted, symlinks=True)
    for file in FILES:
        shutil.copy(ROOT / file, folder / file)


def build(source: Path, folder: Path) -> None:
    """Build the sdist, and the wheel from it, without the network.

    In `make test` its library is compiled without optimisations, in a sixth of the time.
    """
    variables = dict(os.environ)
    if variables.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "1" and shutil.which("c++"):
        compiler = source.parent / "quick-c++"
        compiler.write_text('#!/bin/sh\nexec c++ "$@" -O0\n')
        compiler.chmod(0o755)
        variables |= {"CC": str(compiler), "CXX": str(compiler)}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    checked([*command, str(source)], env=variables)


def install(wheel: Path, root: Path) -> Path:
    """Make an environment into which pip has installed the wheel; return its `bin`.

    The libraries are those of the tests: installing them again would take minutes.
    """
    venv.create(root, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(root / "bin" / "python"), "install"]
    checked([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], env=outside())
    (site,) = root.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(f"{Path(yaml.__file__).parents[1]}\n")
    return root / "bin"

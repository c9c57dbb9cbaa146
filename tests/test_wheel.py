"""The wheel holds the five packages and what they read at run time, and nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mupc

ROOT = Path(__file__).parents[1]
PACKAGES = ("mupc", "pccore", "results", "transfer", "jobs")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, because building writes into the source tree."""
    source = tmp_path_factory.mktemp("copy") / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "experiments", "tests", "benchmarks"):
        shutil.copytree(ROOT / package, source / package, ignore=unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    result = subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(folder), str(source)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_it_holds_every_module_and_template(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for pattern in ("*.py", "*.pyi", "py.typed", "*.j2")
        for path in (ROOT / package).rglob(pattern)
    }
    assert "results/templates/report.html.j2" in expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected


def test_it_names_its_command_and_its_licence(wheel: Path) -> None:
    files = {
        name.partition(".dist-info/")[2]: name for name in names(wheel) if ".dist-info/" in name
    }
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(files["entry_points.txt"]).decode()
        metadata = archive.read(files["METADATA"]).decode()
    assert "mupc = mupc.__main__:main" in entry_points
    assert "License-Expression: MIT" in metadata
    assert f"Version: {mupc.__version__}" in metadata
    assert "licenses/LICENSE" in files


def test_the_packages_import_from_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        f"import {', '.join(PACKAGES)}, importlib.resources as files; "
        f"print(*[module.__file__ for module in ({', '.join(PACKAGES)})], sep='\\n'); "
        "print(files.files('results').joinpath('templates', 'report.html.j2').is_file())"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    expected = [str(tmp_path / package / "__init__.py") for package in PACKAGES]
    assert result.stdout.split("\n")[:-1] == [*expected, "True"], result.stderr


def test_editable_install_is_one_path(source: Path, tmp_path: Path) -> None:
    """An entry of `sys.path` makes a package win over a plain folder of its name; the import hook
    that setuptools would use for another layout of the project would not."""
    script = f"import setuptools.build_meta as b; b.build_editable({str(tmp_path)!r})"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=source, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (installed,) = (name for name in archive.namelist() if ".dist-info/" not in name)
        assert installed.endswith(".pth")
        assert archive.read(installed).decode().strip() == str(source)

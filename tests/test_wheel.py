"""The wheel holds the four packages and what they read at run time, and nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pccore", "results", "transfer", "jobs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without the network, from a copy: building writes into the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(ROOT / package, source / package, ignore=unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
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
        for pattern in ("*.py", "*.j2")
        for path in (ROOT / package).rglob(pattern)
    }
    assert "results/templates/report.html.j2" in expected
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected


def test_it_names_its_command_and_its_licence(wheel: Path) -> None:
    files = {
        name.partition(".dist-info/")[2]: name for name in names(wheel) if ".dist-info/" in name
    }
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(files["entry_points.txt"]).decode()
        metadata = archive.read(files["METADATA"]).decode()
    assert "mupc = jobs.cli.main:main" in entry_points
    assert "License-Expression: MIT" in metadata
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

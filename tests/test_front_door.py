"""`import mupc`: its names, its version, and folders and files that have the packages' names."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import mupc
from jobs import PoolError, RayPool

ROOT = Path(__file__).parents[1]
PACKAGES = ("pccore", "results", "transfer", "jobs")


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a folder, which comes first on the module search path."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with plain folders that have the packages' names."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").touch()
    return tmp_path


@pytest.mark.parametrize("package", ["mupc", *PACKAGES])
def test_dir_shows_every_public_name(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", ["mupc", "results", "transfer", "jobs"])
def test_stub_lists_the_names_that_the_package_has(package: str) -> None:
    stub = ast.parse((ROOT / package / "__init__.pyi").read_text())
    (listed,) = (
        ast.literal_eval(statement.value)
        for statement in stub.body
        if isinstance(statement, ast.Assign)
    )
    assert sorted(listed) == sorted(import_module(package).__all__)


def test_names_are_those_of_the_packages() -> None:
    import transfer

    assert mupc.open is mupc.open_ledger is transfer.open
    assert mupc.load is transfer.load
    assert mupc.transfer is transfer
    with pytest.raises(AttributeError, match="'mupc' has no attribute 'opem'"):
        mupc.opem  # type: ignore[attr-defined] # noqa: B018


def test_version_has_one_source() -> None:
    assert mupc.__version__ == version("mupc")


@pytest.mark.parametrize("package", ["mupc", *PACKAGES])
def test_types_are_shipped(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def test_plain_folders_hide_nothing(folder: Path) -> None:
    script = (
        "import jobs, mupc, pccore, results, transfer\n"
        "print(mupc.load, mupc.open, mupc.LocalPool, jobs.LocalPool, pccore.fit)"
    )
    done = python(folder, "-c", script)
    assert done.returncode == 0, done.stderr
    packages = "jobs, mupc, pccore, results, transfer"
    script = f"import {packages}\nassert all(each.__file__ for each in ({packages}))"
    (folder / "script.py").write_text(script)
    assert python(folder, "script.py").returncode == 0
    for package in ("mupc", "jobs"):
        done = python(folder, "-m", package, "--version")
        assert done.stdout == f"mupc {mupc.__version__}\n", done.stderr


@pytest.mark.parametrize("name", ["jobs.py", "results.py", "transfer/__init__.py"])
def test_file_that_hides_a_package_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("x = 1\n")
    package = name.partition(".")[0].partition("/")[0]
    sentence = f"{folder / name} hides the package {package!r} of mupc: rename it, or start Python"
    done = python(folder, "-c", "import mupc; print(mupc.__version__); mupc.load")
    assert done.stdout == f"{mupc.__version__}\n"
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {sentence}")
    command = python(folder, "-m", "mupc", "--version")
    assert (command.returncode, command.stdout) == (2, "")
    assert command.stderr.startswith(f"mupc: {sentence}")
    assert len(command.stderr.splitlines()) == 1


def test_installed_command_ignores_files_in_the_current_folder(folder: Path) -> None:
    (folder / "jobs.py").write_text("x = 1\n")
    done = python(folder, "-P", "-m", "mupc", "--version")
    assert done.stdout == f"mupc {mupc.__version__}\n", done.stderr


def test_ray_pool_refuses_a_file_that_hides_a_package_from_its_workers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "results.py").write_text("x = 1\n")
    with pytest.raises(PoolError, match=r"results\.py would hide the package 'results' of mupc"):
        RayPool(1)

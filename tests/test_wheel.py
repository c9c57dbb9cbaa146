"""The wheel and the sdist hold what runs, are fit to publish, and install outside the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from pages import page_blocks
from wheels import FILES, PACKAGES, ROOT, checked, outside

import mupc


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    (sdist,) = built.glob("*.tar.gz")
    return sdist


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_it_holds_every_module_template_and_example(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for pattern in ("*.py", "*.pyi", "py.typed", "*.j2", "dashboard/static/*")
        for path in (ROOT / package).rglob(pattern)
    }
    examples = {
        (Path("mupc") / path.relative_to(ROOT)).as_posix()
        for path in (ROOT / "examples").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "results/templates/report.html.j2" in expected
    assert "mupc/examples/digits.yaml" in examples
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    found = {name for name in names(wheel) if ".dist-info/" not in name}
    library = {name for name in found if name.startswith("pccore/native/_stack.")}
    assert found - library == expected | examples
    assert len(library) == (shutil.which("c++") is not None)


def test_metadata_are_fit_to_publish(wheel: Path, built: Path) -> None:
    files = {
        name.partition(".dist-info/")[2]: name for name in names(wheel) if ".dist-info/" in name
    }
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(files["entry_points.txt"]).decode()
        metadata = Parser().parsestr(archive.read(files["METADATA"]).decode())
    assert "mupc = mupc.__main__:main" in entry_points
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Version"] == mupc.__version__
    assert metadata["Author"] == "The mupc authors"
    extras = {"cuda", "dashboard", "bridges", "docs", "dev"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    assert "licenses/LICENSE" in files
    packages = sorted(map(str, built.iterdir()))
    assert checked([sys.executable, "-m", "twine", "check", "--strict", *packages]).count(
        "PASSED"
    ) == len(packages)


def test_sdist_holds_the_documents_and_one_copy_of_the_examples(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert set(FILES) <= inside
    assert "mupc/examples/digits.yaml" in inside
    assert {"stack_gradient.cpp", "tile.h", "xla/ffi/api/ffi.h", "xla/LICENSE"} <= {
        name.removeprefix("pccore/native/") for name in inside
    }
    assert not [name for name in inside if name.startswith(("examples/", "tests/", "experiments/"))]


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == mupc.__version__
    assert f"## {mupc.__version__} (" in (ROOT / "CHANGELOG.md").read_text()
    for file in ("Dockerfile", "kuberay.yaml"):
        text = (ROOT / "examples" / "cluster" / file).read_text()
        assert f"REGISTRY/mupc:{mupc.__version__}" in text
        assert text.count("REGISTRY/mupc:") == text.count(f"REGISTRY/mupc:{mupc.__version__}")


def test_installed_command_works_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    """The command and the packages are those of the wheel; a spec is written and understood."""
    clean = outside() | {"PATH": f"{environment}{os.pathsep}{os.environ['PATH']}"}
    names = ", ".join(PACKAGES)
    script = f"import {names}, pccore.native as n; print({names}, n.instructions(), sep='\\n')"
    *found, instructions = checked(["python", "-c", script], cwd=tmp_path, env=clean).splitlines()
    assert all(str(environment.parent) in line for line in found), found
    version = checked(["mupc", "--version"], cwd=tmp_path, env=clean)
    assert version == f"mupc {mupc.__version__}\n"
    checked(["mupc", "init", "--examples"], cwd=tmp_path, env=clean)
    assert (tmp_path / "examples" / "depth" / "bp.yaml").is_file()
    if library := list(environment.parent.glob("lib/python*/site-packages/pccore/native/_stack.*")):
        assert instructions in ("avx512", "avx2", "neon", "None")
        assert f"{library[0].parent.parent}{os.sep}" in found[PACKAGES.index("pccore")]
    planned = checked(
        ["mupc", "plan", "experiment.yaml", "--no-calibrate"], cwd=tmp_path, env=clean
    )
    assert "to run" in planned


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_first_block_of_the_readme_works_in_an_empty_folder(
    version: str, built: Path, tmp_path: Path
) -> None:
    """With all libraries from the package index, and mupc from the wheel: it is on no index yet."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = outside() | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_FIND_LINKS": str(built),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HOME": str(tmp_path),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", page_blocks(ROOT / "README.md")[0].text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode and "No matching distribution found for jax" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Did the optimum transfer?" in done.stdout
    assert (folder / "report" / "experiment" / "index.html").is_file()
    inside = folder / ".venv" / "bin"
    printed = checked([str(inside / "mupc"), "--version"], cwd=folder, env=environment)
    assert printed == f"mupc {mupc.__version__}\n"
    found = checked([str(inside / "python"), "--version"], env=environment)
    assert found.startswith(f"Python {version}.")


def interpreter(version: str) -> Path | None:
    """Return a Python of this version, on PATH or of pyenv, that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    candidates = [
        *sorted(pyenv.glob(f"{version}.*/bin/python3")),
        *([Path(on_path)] if on_path else []),
    ]
    for each in candidates:
        asked = subprocess.run([each, "--version"], capture_output=True, text=True)
        if asked.stdout.startswith(f"Python {version}."):
            return each
    return None


def test_editable_install_is_one_path(source: Path, tmp_path: Path) -> None:
    """An entry of `sys.path` makes a package win over a plain folder of its name; the import hook
    that setuptools would use for another layout of the project would not. Without a compiler the
    same command installs what XLA trains."""
    script = f"import setuptools.build_meta as b; b.build_editable({str(tmp_path)!r})"
    no_compiler = os.environ | {"CXX": "/bin/false", "CC": "/bin/false"}
    checked([sys.executable, "-c", script], cwd=source, env=no_compiler)
    assert not list((source / "pccore" / "native").glob("*.so"))
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (installed,) = (name for name in archive.namelist() if ".dist-info/" not in name)
        assert installed.endswith(".pth")
        assert archive.read(installed).decode().strip() == str(source)

"""The core computes the same under the oldest and the newest JAX that pyproject.toml allows."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = (
    "tests/pccore/test_reference.py",
    "tests/pccore/test_training.py",
    "tests/pccore/test_snapshots.py",
    "tests/jobs/test_ambient_settings.py",
)


def allowed() -> str:
    """Return the range of JAX in pyproject.toml: ">=0.10,<0.11"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (found,) = [name[3:] for name in project["dependencies"] if re.match(r"jax[<>=]", name)]
    (cuda,) = project["optional-dependencies"]["cuda"]
    assert cuda == f"jax[cuda12]{found}"
    return str(found)


def oldest() -> str:
    lowest = re.match(r">=([\d.]+),<[\d.]+$", allowed())
    assert lowest, f"jax{allowed()} has an open end, which nobody can test"
    return f"=={lowest[1]}"


def test_range_is_closed() -> None:
    assert oldest().startswith("==")


@pytest.mark.slow
@pytest.mark.parametrize("find", [oldest, allowed], ids=["oldest", "newest"])
def test_core_under_another_jax(find: object, tmp_path: Path) -> None:
    """JAX and jaxlib are installed into a folder that comes before the other packages."""
    version = find()  # type: ignore[operator]
    wanted = [f"jax{version}", f"jaxlib{version}"]
    folder = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    installed = subprocess.run([*pip, *wanted], capture_output=True, text=True, cwd=tmp_path)
    if installed.returncode:
        pytest.skip(f"no registry delivers {' '.join(wanted)}: {installed.stderr[-200:]}")
    found = [path.name for path in folder.glob("jax*-*.dist-info")]
    assert len(found) == 2
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    tests = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not ray", *CORE]
    script = f"import jax, sys, pytest; print(jax.__file__); sys.exit(pytest.main({tests!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(folder))
    assert done.returncode == 0, f"{found}\n{done.stdout[-3000:]}"

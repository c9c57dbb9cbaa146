"""Rules about imports and packaging that the contracts of import-linter cannot express.

`make lint` checks the contracts themselves ([tool.importlinter] in pyproject.toml).
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PATTERNS = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
SHIPPED = sorted({pattern.partition(".")[0] for pattern in PATTERNS})

# Import names that differ from their distribution's.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "pydantic_core": "pydantic",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

# Statement -> modules that a fresh process must not have loaded after it.
HEAVY = ("jax", "ray", "optuna", "numpy", "pandas", "pyarrow", "pydantic", "matplotlib", "sklearn")
FRESH: dict[str, tuple[str, ...]] = {
    "import pccore": (
        "diffrax",
        "ray",
        "optuna",
        "pandas",
        "pyarrow",
        "results",
        "transfer",
        "jobs",
    ),
    "import results": ("jax", "ray", "optuna", "pccore", "transfer", "jobs"),
    "import transfer": ("ray", "optuna", "jobs"),
    "import jobs": ("ray", "optuna"),
    "import mupc": HEAVY,
    "import jobs.cli.main": HEAVY,
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def names_imported(node: ast.AST) -> list[str]:
    """Return the top-level names that an absolute import statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [(node.module or "").partition(".")[0]]
    return []


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield (imported name, "file:line") for every absolute import in `package`."""
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text())):
            for name in names_imported(node):
                yield name, f"{path.relative_to(ROOT)}:{node.lineno}"


def fresh_process(script: str) -> str:
    """Return what a fresh interpreter prints; -P keeps the current folder off its path."""
    command = [sys.executable, "-P", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh process has loaded after `statement`."""
    script = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(fresh_process(script).splitlines()[-1].split())


def test_programs_that_train_lanes_call_lapack_through_one_module() -> None:
    # The docstring of that module describes what a direct call does to a vmapped program.
    direct = re.compile(r"(?<!pccore\.)(?<!\.\.)linalg\.(?!norm\b|cg\b)\w+")
    found = [path for path in sources("pccore") if path.name != "lapack.py"]
    trained = [path for path in found if "theory" not in path.parts]
    assert trained
    assert [path.name for path in trained if direct.search(path.read_text())] == []


def test_ray_is_imported_at_the_top_only_of_files_named_after_it() -> None:
    at_top = {
        path.name
        for path in sources("jobs")
        for statement in ast.parse(path.read_text()).body
        for name in names_imported(statement)
        if name == "ray"
    }
    assert {name for name in at_top if not name.startswith("ray_")} == set()


@pytest.mark.parametrize("package", SHIPPED)
def test_every_library_is_declared(package: str) -> None:
    dependencies = PROJECT["project"]["dependencies"]
    declared = {re.split(r"[^\w-]", dependency)[0] for dependency in dependencies}
    for name, where in imports(package):
        if name in sys.stdlib_module_names or name in SHIPPED:
            continue
        assert DISTRIBUTIONS.get(name, name) in declared, f"{where}: {name} is not a dependency"


@pytest.mark.parametrize("statement", FRESH)
def test_import_stays_light(statement: str) -> None:
    assert loaded_by(statement) & set(FRESH[statement]) == set()

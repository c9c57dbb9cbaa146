"""A folder is a layer: who may import whom, read off the source and seen in fresh processes."""

import ast
import re
import resource
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Package -> those of ours that it may import.
HOUSE: dict[str, set[str]] = {
    "pccore": set(),
    "results": set(),
    "transfer": {"pccore", "results"},
    "jobs": {"pccore", "results", "transfer"},
}

# Library -> the packages of ours that may import it.
CONFINED: dict[str, set[str]] = {
    "jax": {"pccore", "transfer", "jobs"},
    "equinox": {"pccore"},
    "optax": {"pccore"},
    "diffrax": {"pccore"},
    "sklearn": {"pccore"},
    "mnist1d": {"pccore"},
    "pooch": {"pccore"},
    "pyarrow": {"results"},
    "matplotlib": {"results"},
    "jinja2": {"results"},
    "pandas": {"results", "transfer", "jobs"},
    "optuna": {"transfer"},
    "cmaes": {"transfer"},
    "pydantic": {"transfer"},
    "yaml": {"transfer"},
    "ray": {"jobs"},
    "typer": {"jobs"},
    "rich": {"jobs"},
}

# Import names that differ from their distribution's.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "pydantic_core": "pydantic"}

# What runs in a fresh process -> what it must not have loaded.
HEAVY = ("jax", "ray", "optuna", "pandas", "pyarrow", "matplotlib", "sklearn")
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
    "import jobs.cli.main": HEAVY,
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def names_imported(node: ast.AST) -> list[str]:
    """Top-level names that an import statement imports; none for any other node."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, (
            "imports are absolute here, so that an edge can be read off its line"
        )
        return [(node.module or "").partition(".")[0]]
    return []


def edges(package: str) -> Iterator[tuple[str, str]]:
    """(name imported, "file:line") of every import anywhere in `package`."""
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text())):
            for name in names_imported(node):
                yield name, f"{path.relative_to(ROOT)}:{node.lineno}"


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh process has loaded after `statement`."""
    script = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    # -P: the folder of the tests, or whatever the current one is, must not help.
    command = [sys.executable, "-P", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("package", HOUSE)
def test_a_package_imports_only_the_layers_below(package: str) -> None:
    allowed = HOUSE[package] | {package}
    assert sources(package)
    assert [where for name, where in edges(package) if name in HOUSE.keys() - allowed] == []


@pytest.mark.parametrize("library", CONFINED)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    for package in HOUSE.keys() - CONFINED[library]:
        assert [where for name, where in edges(package) if name == library] == []


def test_optuna_is_imported_in_one_module() -> None:
    files = {where.partition(":")[0] for name, where in edges("transfer") if name == "optuna"}
    assert len(files) == 1


def test_what_trains_in_lanes_calls_lapack_through_one_module() -> None:
    # whose docstring says what else may happen
    direct = re.compile(r"(?<!pccore\.)linalg\.(?!norm\b|cg\b)\w+")
    sources = [path for path in (ROOT / "pccore").rglob("*.py") if path.name != "lapack.py"]
    trained = [path for path in sources if "theory" not in path.parts]
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


@pytest.mark.parametrize("package", HOUSE)
def test_every_library_is_declared(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^\w-]", dependency)[0] for dependency in project["dependencies"]}
    for name, where in edges(package):
        if name in sys.stdlib_module_names or name in HOUSE:
            continue
        assert DISTRIBUTIONS.get(name, name) in declared, f"{where}: {name} is not a dependency"


@pytest.mark.parametrize("statement", FRESH)
def test_an_import_stays_light(statement: str) -> None:
    assert loaded_by(statement) & set(FRESH[statement]) == set()


def test_the_command_answers_in_well_under_a_second() -> None:
    """In processor time, which other work on the machine does not lengthen."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "jobs", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0, result.stderr
    assert "submit" in result.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.8


def test_the_wheel_lists_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in HOUSE
        for path in sources(package)
    }
    assert sorted(found) == sorted(project["tool"]["setuptools"]["packages"])

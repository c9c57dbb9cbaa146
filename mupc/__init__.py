"""Learning-rate transfer for predictive coding networks: every public name under one import.

    import mupc

    experiment = mupc.load("examples/digits.yaml")
    with mupc.LocalPool() as pool:
        result = mupc.run(experiment, mupc.open("runs", create=True), pool)
    print(result.summary)

The packages `pccore`, `transfer`, `results` and `jobs` are attributes of this one. Names are
imported on first use, so that `import mupc` loads neither JAX nor Ray nor pandas.
"""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.2.0"  # the only place: pyproject.toml reads it from here

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("pccore", "results", "transfer", "jobs")


def _read_stub() -> dict[str, tuple[str, str]]:
    """Return the module and the name there of every public name, as `__init__.pyi` imports it.

    `lazy_loader.attach_stub`, which the packages use, accepts relative imports only.
    """
    statements = ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    return {
        alias.asname or alias.name: (statement.module, alias.name)
        for statement in statements
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }


_ORIGINS = _read_stub()
__all__ = sorted({*_ORIGINS, *_PACKAGES, "__version__"})


def check_packages() -> None:
    """Check that Python finds the packages of this project and not the user's own modules.

    Raises:
        ImportError: another file comes first on the module search path, with its name and what to
            do about it.
    """
    for package in _PACKAGES:
        found = find_spec(package)
        expected = _ROOT / package / "__init__.py"
        if found is None:
            raise ImportError(
                f"mupc is incomplete: there is no {expected}; install it again", name=package
            )
        place = found.origin or next(iter(found.submodule_search_locations or ()), package)
        if not _is_same(Path(place), expected):
            raise ImportError(
                f"{Path(place).absolute()} hides the package {package!r} of mupc: rename it, or "
                "start Python in another folder",
                name=package,
            )


def _is_same(one: Path, other: Path) -> bool:
    return one.absolute() == other.absolute() or (other.exists() and one.samefile(other))


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_packages()
    if name in _PACKAGES:
        value: object = import_module(name)
    else:
        module, original = _ORIGINS[name]
        value = getattr(import_module(module), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)

"""The code of a training function on its way to the processes that call it.

A function at the top of a module is named there, and the module is sent as text, with the modules
of the user's that it imports: the process imports them as usual. Classes of Equinox and Flax, which
are made by metaclasses, survive that, and pickling by value not. The main script is imported, too,
if it is guarded by `if __name__ == "__main__":`. Everything else, such as a function inside of
another one, is pickled by value.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType

from pccore.source_digest import called, is_library

MAIN = "__mp_main__"
"""The name under which the main script is imported, as multiprocessing does.

Importing multiprocessing makes it another name of `__main__`, so a process that imports the script
by it must have imported multiprocessing before: scikit-learn and PyTorch do it in the script.
"""
MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class Module:
    """A module of the user's: its text, the place of its file, and whether it is a package."""

    text: str
    file: str
    package: bool


@dataclass(frozen=True)
class FunctionCode:
    """The code of a function.

    Attributes:
        place: the module and the name in it; None for a function that is pickled.
        pickled: the function by value; empty for one that has a place.
        modules: the modules to import, by name.
    """

    place: tuple[str, str] | None
    pickled: bytes
    modules: Mapping[str, Module]


def code_to_send(function: Callable[..., object], modules: tuple[str, ...]) -> FunctionCode:
    """Return the code of a function.

    Args:
        function: the function.
        modules: names of the modules that hold its code.

    Raises:
        ValueError: it refers to something that cannot be sent; one sentence.
    """
    home = getattr(function, "__module__", None)
    if isinstance(function, FunctionType) and home and _is_at_top(function, home):
        name = MAIN if home == "__main__" else home
        texts = {name: text} if (text := _module(home)) else {}
        for other in (*modules, *_imported(home)):
            if other not in (home, "__main__"):
                texts |= dict(_with_packages(other))
        if home != "__main__":
            texts |= dict(_with_packages(home))
        return FunctionCode((name, function.__qualname__), b"", texts)
    return FunctionCode(None, _pickled(function, modules), {})


def _is_at_top(function: FunctionType, home: str) -> bool:
    """Return whether importing the function's module makes the function."""
    module = sys.modules.get(home)
    if module is None or getattr(module, function.__qualname__, None) is not function:
        return False
    text = _module(home)
    return text is not None and (home != "__main__" or "__name__" in text.text)


def _module(name: str) -> Module | None:
    """Return a module that has a file; None for others, and for very large ones."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    package = Path(file).name == "__init__.py"
    return Module(text, file, package) if len(text) <= MOST_BYTES else None


def _with_packages(name: str) -> Iterator[tuple[str, Module]]:
    """Yield a module and the packages that it is in."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        each = ".".join(parts[:count])
        if text := _module(each):
            yield each, text


def _imported(name: str, seen: set[str] | None = None) -> set[str]:
    """Return the modules of the user's that a module imports, and those that these import."""
    seen = set() if seen is None else seen
    text = _module(name)
    if text is None or name in seen:
        return seen
    seen.add(name)
    package = name if text.package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(text.text)):
        for other in _names(node, package):
            if other in sys.modules and not is_library(other.partition(".")[0]):
                _imported(other, seen)
    return seen


def _names(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the modules that a statement may import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            try:
                base = resolve_name("." * node.level + base, package)
            except ImportError:  # of a script that is in no package
                return
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _pickled(function: Callable[..., object], modules: tuple[str, ...]) -> bytes:
    import cloudpickle

    sent = [sys.modules[name] for name in modules if name in sys.modules and name != "__main__"]
    for module in sent:
        cloudpickle.register_pickle_by_value(module)
    try:
        code: bytes = cloudpickle.dumps(function)
    except Exception as error:  # whatever the things that it refers to raise
        cause = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{called(function)} cannot be sent to the processes that call it: "
            f"{type(error).__name__}: {cause}"
        ) from None
    finally:
        for module in sent:
            cloudpickle.unregister_pickle_by_value(module)
    return code

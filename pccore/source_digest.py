"""Digests of code: what identifies a function, a class or an object that a user has written.

The digest of a thing covers its source and whatever that refers to: constants, functions and
classes of the same module and of other modules of the user's, values in closures, defaults. Source
counts as a syntax tree, without comments, docstrings, annotations of functions and layout, and
without the name of the file. Libraries count by name, as their versions do not enter run ids.
"""

import ast
import dataclasses
import dis
import functools
import hashlib
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from pccore.source_text import Source, SourceError, nested, normalised, source_of

OURS = ("pccore", "results", "transfer", "jobs", "mupc", "experiments")
LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "optax", "equinox", "diffrax", "optuna", "cmaes")
"""Packages whose things count by name even where they are what a user gives, as `jax.nn.mish`."""

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders into which packages are installed, in every environment."""

DIGITS = 12
"""Hexadecimal digits of a digest: 48 bits, so that a clash among 10^4 things has odds of 10^-7."""

Key = TypeVar("Key")
Content = str | tuple[object, ...]
_SCALARS = (type(None), bool, int, float, complex, str, bytes, type(...))
_VALUES = (*_SCALARS, tuple, list, dict, np.ndarray, jax.Array)


@dataclass(frozen=True)
class Code:
    """The identity of a thing.

    Attributes:
        digest: the first digits of the SHA-256 of its content.
        modules: names of the modules, none of a library, that hold its code.
    """

    digest: str
    modules: tuple[str, ...]


def code_of(thing: object) -> Code:
    """Return the identity of a function, a class or an object.

    Raises:
        SourceError: its source cannot be found, as of what is typed into `python`, or has changed
            since it was imported; or it refers to what has no content, such as an open file.
    """
    module = getattr(thing, "__module__", None) or type(thing).__module__
    top = str(module).partition(".")[0]
    by_name = top in {*OURS, *LIBRARIES} or top in sys.stdlib_module_names
    walk = _Walk(own=frozenset(() if by_name else (top,)))
    content = repr(walk.content(thing, called(thing))).encode()
    return Code(hashlib.sha256(content).hexdigest()[:DIGITS], tuple(sorted(walk.modules)))


def called(thing: object) -> str:
    """Return the name of a function or a class, or of the class of anything else."""
    name = getattr(thing, "__name__", None)
    name = name if isinstance(name, str) else type(thing).__name__
    return "lambda" if name == "<lambda>" else name


@dataclass
class _Walk:
    """One walk over everything that a thing refers to.

    Attributes:
        own: names of top-level packages that count as the user's although they are installed.
        modules: names of the user's modules met so far.
    """

    own: frozenset[str]
    modules: set[str] = field(default_factory=set)
    _done: dict[int, tuple[str, object]] = field(default_factory=dict)
    _open: list[int] = field(default_factory=list)

    def content(self, value: object, where: str) -> Content:
        """Return what identifies a value; `where` names it in errors."""
        if isinstance(value, _SCALARS):
            return ("value", type(value).__name__, repr(value))
        if isinstance(value, np.dtype | Enum):
            return ("value", type(value).__name__, str(value))
        key = id(value)
        if key in self._done:
            return self._done[key][0]
        if key in self._open:  # it refers to itself
            return ("again", str(len(self._open) - self._open.index(key)))
        self._open.append(key)
        digest = _sha256(repr(self._composite(value, where)).encode())
        self._open.pop()
        self._done[key] = (digest, value)  # kept alive, so that ids are not reused
        return digest

    def _composite(self, value: object, where: str) -> Content:
        if isinstance(value, np.ndarray | np.generic | jax.Array) or self._is_tensor(value):
            return self._array(value, where)
        if isinstance(value, tuple | list):
            return (type(value).__name__, *(self.content(entry, where) for entry in value))
        if isinstance(value, set | frozenset):
            return (type(value).__name__, *sorted(repr(self.content(e, where)) for e in value))
        if isinstance(value, Mapping):
            return self._members("mapping", value, where)
        return self._code(value, where)

    def _code(self, value: object, where: str) -> Content:
        if isinstance(value, types.ModuleType):
            return self._module(value, where)
        if self._is_library(value):
            return self._library(value, where)
        if isinstance(value, functools.partial):
            held = (value.func, value.args, value.keywords)
            return ("partial", *(self.content(part, where) for part in held))
        if isinstance(value, types.MethodType):
            parts = (value.__func__, value.__self__)
            return ("method", *(self.content(part, where) for part in parts))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        kind = type(value)
        if hasattr(value, "__wrapped__"):  # of jax.jit, jax.custom_jvp, jax.custom_vjp and the like
            rules = [getattr(value, name, None) for name in ("__wrapped__", "jvp", "fwd", "bwd")]
            return ("wrapped", kind.__qualname__, *(self.content(part, where) for part in rules))
        if hasattr(value, "__dict__") and (
            dataclasses.is_dataclass(value) or not self._is_library(kind)
        ):
            attributes = self._members("attributes", vars(value), where)
            return ("instance", self.content(kind, where), attributes)
        raise SourceError(
            f"{where} refers to an object of type {kind.__qualname__}, which neither code "
            "nor values identify"
        )

    def _is_tensor(self, value: object) -> bool:
        """Return whether a value is an array of another library, such as a tensor of PyTorch."""
        kind = type(value)
        return self._is_library(kind) and hasattr(kind, "__array__") and hasattr(kind, "dtype")

    def _array(self, value: object, where: str) -> Content:
        if isinstance(value, jax.core.Tracer):
            raise SourceError(f"{where} refers to an array that is being traced")
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise SourceError(f"{where} refers to an array of objects")
        return ("array", array.dtype.str, str(array.shape), _sha256(array.tobytes()))

    def _members(self, kind: str, members: Mapping[Key, object], where: str) -> Content:
        entries = {
            key if isinstance(key, str) else repr(self.content(key, where)): entry
            for key, entry in members.items()
            if not _is_dunder(key)
        }
        return (kind, *((key, self.content(entries[key], where)) for key in sorted(entries)))

    def _library(self, value: object, where: str) -> Content:
        """Return the name of a thing of a library, and the values in its closure.

        The package stands for the module, as libraries move things between their modules. What a
        module has under its name is known by that where its closure has no content: decorators of
        libraries leave there what they please.
        """
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", repr(value))
        cells = [_cell(cell) for cell in getattr(value, "__closure__", None) or ()]
        depth = len(self._open)
        try:
            held = tuple(self.content(cell, where) for cell in cells if cell is not None)
        except SourceError:
            if getattr(sys.modules.get(str(value.__module__)), str(name), None) is not value:
                raise
            del self._open[depth:]
            held = ()
        package = str(getattr(value, "__module__", "")).partition(".")[0]
        return ("library", package, str(name), *held)

    def _module(self, module: types.ModuleType, where: str) -> Content:
        if self._is_library_module(module.__name__):
            return ("module", module.__name__)
        self.modules.add(module.__name__)
        source = source_of(getattr(module, "__file__", None) or module.__name__, vars(module))
        used = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, _VALUES)
            or (
                isinstance(value, types.ModuleType | types.FunctionType | type)
                and not self._is_library(value)
                and getattr(value, "__module__", None) != module.__name__
            )
        }
        return ("module", normalised(source.tree), self._members("uses", used, where))

    def _function(self, function: types.FunctionType) -> Content:
        self.modules.add(function.__module__)
        source = source_of(function.__code__.co_filename, function.__globals__)
        node = source.function(function.__code__, called(function))
        return ("function", normalised(node), self._references(function))

    def _references(self, function: types.FunctionType) -> Content:
        """Return what a function refers to beyond its own text."""
        name, cells = called(function), function.__closure__ or ()
        closure = dict(zip(function.__code__.co_freevars, map(_cell, cells), strict=True))
        used = {key: function.__globals__[key] for key in _globals(function.__code__, name)
                if key in function.__globals__}  # fmt: skip
        return (
            self._members("closure", closure, name),
            self._members("globals", used, name),
            self.content(function.__defaults__, name),
            self.content(function.__kwdefaults__, name),
            self._members("attributes", vars(function), name),
        )

    def _class(self, cls: type) -> Content:
        self.modules.add(cls.__module__)
        source, members = _source_of_class(cls), dict[str, Content]()
        for name, member in vars(cls).items():
            functions = [each for each in _functions(member) if not _is_generated(each)]
            for function in functions:
                if not _is_elsewhere(function, cls):
                    source.check(function.__code__, f"{cls.__qualname__}.{name}")
                    members[name] = self._references(function)
            # what a decorator returned has code elsewhere
            elsewhere = any(_is_elsewhere(function, cls) for function in functions)
            if elsewhere or not (functions or _is_dunder(name) or name == "_abc_impl"):
                members[name] = self.content(member, f"{cls.__qualname__}.{name}")
        node = source.classes.get(cls.__qualname__)
        if node is None:
            raise SourceError(f"the source of the class {cls.__qualname__} is not found")
        if dataclasses.is_dataclass(cls):
            for each in dataclasses.fields(cls):
                if each.default_factory is not dataclasses.MISSING:
                    factory = self.content(each.default_factory, cls.__qualname__)
                    members[f"{each.name}()"] = factory
        bases = [self.content(base, cls.__qualname__) for base in cls.__bases__]
        found = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        decorators = {
            each.id: found[each.id]
            for decorator in node.decorator_list
            for each in ast.walk(decorator)
            if isinstance(each, ast.Name) and each.id in found
        }
        uses = self._members("decorators", decorators, cls.__qualname__)
        return ("class", normalised(node), *bases, uses, *sorted(members.items()))

    def _is_library(self, value: object) -> bool:
        module = getattr(value, "__module__", None)
        if module is None or module == "builtins":
            return callable(value)
        return hasattr(value, "__name__") and self._is_library_module(str(module))

    def _is_library_module(self, name: str) -> bool:
        top = name.partition(".")[0]
        return top not in self.own and is_library(top)


@functools.cache
def is_library(top: str) -> bool:
    """Return whether a top-level package is Python's, this project's, or an installed one."""
    if top in OURS or (top in sys.stdlib_module_names and top != "__main__"):
        return True
    if top in sys.modules:
        file = getattr(sys.modules[top], "__file__", None)
    else:
        found = find_spec(top)
        file = found.origin if found else None
    if file is None:
        return False
    path = Path(file).resolve()
    # Libraries of another environment come by PYTHONPATH or a .pth file.
    if not INSTALLED.isdisjoint(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in _library_folders())


@functools.cache
def _library_folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_paths()[name] for name in names]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({Path(folder).resolve() for folder in folders})


def _source_of_class(cls: type) -> Source:
    module = sys.modules.get(cls.__module__)
    namespace = vars(module) if module else {}
    for member in vars(cls).values():
        for function in _functions(member):
            if not (_is_generated(function) or _is_elsewhere(function, cls)):
                return source_of(function.__code__.co_filename, function.__globals__)
    return source_of(str(namespace.get("__file__") or cls.__module__), namespace)


def _functions(member: object) -> Iterator[types.FunctionType]:
    """Yield the functions that a member of a class stands for."""
    if isinstance(member, types.FunctionType):
        yield member
    elif isinstance(member, staticmethod | classmethod):
        yield from _functions(member.__func__)
    elif isinstance(member, property):
        for part in (member.fget, member.fset, member.fdel):
            yield from _functions(part)


def _is_generated(function: types.FunctionType) -> bool:
    """Return whether `dataclasses` made a function."""
    file = function.__code__.co_filename
    return file.startswith("<string") or file == dataclasses.fields.__code__.co_filename


def _is_elsewhere(function: types.FunctionType, cls: type) -> bool:
    """Return whether a member of a class was written outside of it."""
    return not function.__code__.co_qualname.startswith(f"{cls.__qualname__}.")


def _globals(code: types.CodeType, name: str) -> list[str]:
    """Return the names that a function and those inside it look up in their module."""
    found = set()
    for each in nested(code):
        for step in dis.get_instructions(each):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
                found.add(str(step.argval))
            elif step.opname == "IMPORT_NAME" and not is_library(step.argval.partition(".")[0]):
                raise SourceError(
                    f"{name} imports {step.argval} while it runs, which workers may not have: "
                    "import it at the top of its module"
                )
    return sorted(found)


def _cell(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _is_dunder(name: object) -> bool:
    return isinstance(name, str) and name.startswith("__") and name.endswith("__")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

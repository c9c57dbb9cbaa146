"""Things of the user's: their names, which identify them by their code, and where they are found.

Whatever a registry names, a user can write: an activation, an inference scheme, an optimiser. In
Python it is given in place of its name, in a spec as `module:attribute`, and by packages as an
entry point of the group `mupc.plugins`.
"""

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from pccore.source_digest import DIGITS, OURS, called, code_of

PLUGINS = "mupc.plugins"
"""The group of entry points. Their names are a kind and a name, as in `activation.swish`."""

_WORD = r"[^\W\d]\w*"
_DOTTED = rf"{_WORD}(\.{_WORD})*"
REFERENCE = rf"^{_DOTTED}:{_DOTTED}(@[0-9a-f]{{{DIGITS}}})?$"
"""The pattern of a reference: `module:attribute`, with the digest of its code if it is fixed."""


Named: TypeAlias = Any
"""A registered name, or a thing of the user's in its place, which becomes its name (`Own`)."""


class OwnError(ValueError):
    """A thing that cannot be used, or a reference to nothing; the message is one sentence."""


class Own(str):
    """The name of a thing of the user's, which carries the thing: "swish@1f2e3d4c5b6a".

    The name has the digest of the thing's code (`pccore.source_digest`), so that names are equal
    where the code is. It can be pickled together with the thing.

    Attributes:
        kind: the kind of the registry that it was made for.
        entry: what stands for the thing in that registry.
        modules: names of the modules that hold its code.
        reference: where a spec finds it, "my_module:swish@1f2e3d4c5b6a".
    """

    kind: str
    entry: object
    modules: tuple[str, ...]
    reference: str

    def __new__(
        cls, name: str, kind: str, entry: object, modules: tuple[str, ...], reference: str
    ) -> "Own":
        made = super().__new__(cls, name)
        made.kind, made.entry, made.modules, made.reference = kind, entry, modules, reference
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return Own, (str(self), self.kind, self.entry, self.modules, self.reference)

    def __deepcopy__(self, memo: object) -> "Own":
        return self


_modules: set[str] = set()


def own_modules() -> frozenset[str]:
    """Return the names of the modules that hold the code of the things named so far."""
    return frozenset(_modules)


def named(kind: str, thing: object, entry: object, reference: str | None = None) -> Own:
    """Return the name of a thing.

    Args:
        kind: the kind of the registry that it is for.
        thing: a function, a class or an object.
        entry: what stands for it in that registry.
        reference: `module:attribute`, where it was found; by default where it was defined.

    Raises:
        pccore.source_text.SourceError: its code does not identify it.
    """
    code = code_of(thing)
    _modules.update(code.modules)
    if reference is None:
        owner = thing if hasattr(thing, "__qualname__") else type(thing)
        reference = f"{owner.__module__}:{owner.__qualname__}"
    name = f"{called(thing)}@{code.digest}"
    return Own(name, kind, entry, code.modules, f"{reference}@{code.digest}")


def plugins(kind: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a kind by the names that specs use."""
    prefix = kind.replace(" ", "_") + "."
    # Where the package importlib_metadata is loaded, its finder answers, with a class of its own.
    found = [EntryPoint(p.name, p.value, p.group) for p in entry_points(group=PLUGINS)]
    return {p.name.removeprefix(prefix): p for p in found if p.name.startswith(prefix)}


def found_by(reference: str) -> tuple[object, str, str]:
    """Import what `module:attribute` names.

    Returns:
        the thing, the reference without its digest, and the digest, "" if it has none.

    Raises:
        OwnError: it is no reference, no such module or attribute exists, or the import fails.
    """
    if not re.fullmatch(REFERENCE, reference):
        raise OwnError(
            f"{reference!r} must be module:attribute, such as my_module:swish, where the module "
            "is a file beside the spec or can be imported"
        )
    place, _, digest = reference.partition("@")
    module_name, _, attribute = place.partition(":")
    thing: object = _imported(module_name)
    for name in attribute.split("."):
        if not hasattr(thing, name):
            near = get_close_matches(name, [n for n in dir(thing) if not n.startswith("_")], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OwnError(f"the module {module_name!r} has no {attribute!r}{hint}")
        thing = getattr(thing, name)
    return thing, place, digest


_beside: ContextVar[Path | None] = ContextVar("beside", default=None)


@contextmanager
def modules_beside(file: Path) -> Iterator[None]:
    """Find modules in the folder of a spec first, as they are now, within the context."""
    token = _beside.set(file.absolute().parent)
    try:
        yield
    finally:
        _beside.reset(token)


def _imported(name: str) -> ModuleType:
    folder = _beside.get()
    top = name.partition(".")[0]
    spec = PathFinder.find_spec(top, [str(folder)]) if folder else None
    if folder is None or spec is None or top in OURS:
        return _import(name, folder)
    _refuse_hidden(top, str(spec.origin), folder)
    _forget_changed(folder)
    _forget_elsewhere(top, folder)
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    # A cached bytecode file is as old as a second, and so may be the text that it was made of.
    sys.dont_write_bytecode = True
    try:
        importlib.invalidate_caches()
        return _import(name, folder)
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes
        _remember(set(sys.modules) - before, folder)


def _import(name: str, folder: Path | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise OwnError(f"the module {name!r} cannot be imported: {error}") from None
        files = sorted(path.stem for path in folder.glob("*.py")) if folder else []
        near = get_close_matches(name, files, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        where = f"beside the spec in {folder} or " if folder else ""
        raise OwnError(f"there is no module {name!r} {where}on the import path{hint}") from None
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        text = (str(error).splitlines() or [""])[0]
        raise OwnError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {text}"
        ) from None


def _refuse_hidden(top: str, origin: str, folder: Path) -> None:
    """Refuse a file beside a spec that has the name of an installed module."""
    others = [place for place in sys.path if Path(place or ".").absolute() != folder]
    other = None if top in sys.stdlib_module_names else PathFinder.find_spec(top, others)
    if top in sys.stdlib_module_names or (other and other.origin not in (None, origin)):
        raise OwnError(f"{origin} has the name of the module {top!r} of Python's own or installed "
                       "ones: rename it")  # fmt: skip


_loaded: dict[str, tuple[Path, tuple[int, int]]] = {}
"""The modules that specs loaded, each with its folder, and the time and size of its file."""


def _remember(names: set[str], folder: Path) -> None:
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).is_relative_to(folder):
            _loaded[name] = (folder, _state(file))


def _forget_changed(folder: Path) -> None:
    """Forget modules beside other specs, and those beside this one if a file has changed."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) or "" for name in _loaded}
    changed = any(
        _state(files[name]) != state for name, (own, state) in _loaded.items() if own == folder
    )
    for name, (own, _) in list(_loaded.items()):
        if own != folder or changed:
            sys.modules.pop(name, None)
            del _loaded[name]


def _forget_elsewhere(top: str, folder: Path) -> None:
    """Forget a module of this name that is not the one beside the spec, whoever imported it."""
    file = getattr(sys.modules.get(top), "__file__", None)
    if file and not Path(file).absolute().is_relative_to(folder):
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{top}.")]:
            del sys.modules[name]


def _state(file: str) -> tuple[int, int]:
    try:
        status = Path(file).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size

"""The source of code as syntax trees, and proof that code was compiled from it."""

import ast
import functools
import linecache
import types
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class SourceError(ValueError):
    """A thing that cannot be identified by its code; the message says why."""


@dataclass(frozen=True)
class Source:
    """The text of a file as it is now.

    Attributes:
        file: its name in code objects.
        tree: its syntax tree.
        codes: every code object that it compiles to, by first line.
        classes: the definitions of its classes, by qualified name; of several the last.
    """

    file: str
    tree: ast.Module
    codes: Mapping[int, list[types.CodeType]]
    classes: Mapping[str, ast.ClassDef]

    def check(self, code: types.CodeType, name: str) -> None:
        """Raise `SourceError` if `code` was compiled from another text."""
        if code not in self.codes.get(code.co_firstlineno, ()):
            raise SourceError(
                f"the source of {name} in {self.file} has changed since it was imported: start "
                "Python again"
            )

    def function(self, code: types.CodeType, name: str) -> ast.AST:
        """Return the definition of a function."""
        self.check(code, name)
        kinds = ast.Lambda if name == "lambda" else (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, kinds) and _first_line(node) == code.co_firstlineno
        ]
        if len(found) != 1:
            raise SourceError(
                f"line {code.co_firstlineno} of {self.file} has {len(found)} functions, of which "
                f"one is {name}: write it on a line of its own"
            )
        return found[0]


def source_of(file: str, namespace: Mapping[str, object]) -> Source:
    linecache.checkcache(file)
    text = "".join(linecache.getlines(file, dict(namespace)))
    if not text:
        raise SourceError(
            f"there is no source of {namespace.get('__name__', file)}, which identifies what is "
            "defined there: write it into a file"
        )
    return _parsed(file, text)


@functools.lru_cache(maxsize=64)
def _parsed(file: str, text: str) -> Source:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            module = compile(text, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SourceError(f"the source in {file} is not valid Python: {error.msg}") from None
    codes: dict[int, list[types.CodeType]] = {}
    for code in nested(module):
        codes.setdefault(code.co_firstlineno, []).append(code)
    return Source(file, tree, codes, dict(_class_definitions(tree)))


def _class_definitions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        inside = prefix
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            inside = f"{prefix}{child.name}."
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{prefix}{child.name}.<locals>."
        yield from _class_definitions(child, inside)


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def _first_line(node: ast.AST) -> int:
    """Return the line on which a definition begins, as its code object has it."""
    decorators = getattr(node, "decorator_list", ())
    return min([node.lineno, *(each.lineno for each in decorators)])  # type: ignore[attr-defined]


def normalised(node: ast.AST) -> str:
    """Return a syntax tree as text that is the same in every version of Python.

    It has no positions, docstrings, annotations of functions, and no empty fields, which versions
    add.
    """
    parts = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name in ("type_comment", "returns", "kind", "type_params", "ctx"):
            continue
        if name == "annotation" and isinstance(node, ast.arg):
            continue
        if name == "body" and isinstance(node, _Definition | ast.Module):
            value = value[_has_docstring(value) :]
        if isinstance(value, list) and value:
            items = ",".join(normalised(v) if isinstance(v, ast.AST) else repr(v) for v in value)
            parts.append(f"{name}=[{items}]")
        elif isinstance(value, ast.AST):
            parts.append(f"{name}={normalised(value)}")
        elif value is not None and value != []:
            parts.append(f"{name}={value!r}")
        elif isinstance(node, ast.Constant):
            parts.append("None")
    return f"({' '.join(parts)})"


def _has_docstring(body: list[ast.stmt]) -> bool:
    first = body[0] if body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )

"""Sizes of the shipped code: lines, longest files and functions, import cycles, repeated names.

    python benchmarks/size.py [--top 15] [--json]

Shipped are the .py files of the packages that pyproject.toml lists for the wheel. Imports count
wherever they stand, in functions and under TYPE_CHECKING too. A cycle is a set of modules each of
which imports every other, directly or indirectly.
"""

import argparse
import ast
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

Imports = Mapping[str, set[str]]  # module -> modules of ours that it imports


@dataclass(frozen=True)
class Sizes:
    """Measurements of a source tree; lines count blank lines and comments.

    Attributes:
        files: modules.
        lines: lines of all modules.
        any_lines: lines that mention `Any`.
        packages: lines by package, subpackages apart.
        longest_files: (lines, module), longest first.
        longest_functions: (lines, "module:function"), longest first.
        cycles: sets of modules that import each other in a circle.
        repeated: module names that occur more than once, with their modules.
    """

    files: int
    lines: int
    any_lines: int
    packages: dict[str, int]
    longest_files: list[tuple[int, str]]
    longest_functions: list[tuple[int, str]]
    cycles: list[list[str]]
    repeated: dict[str, list[str]]


def main() -> None:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--top", type=int, default=15, help="longest files and functions to list")
    found.add_argument("--json", action="store_true", help="print JSON")
    options = found.parse_args()
    sizes = measure(shipped(), options.top)
    print(json.dumps(asdict(sizes), indent=1) if options.json else text(sizes))


def shipped(root: Path = ROOT) -> dict[str, Path]:
    """Return the modules of the wheel's packages: name -> file."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    found = {}
    for package in sorted({pattern.partition(".")[0] for pattern in patterns}):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if path.stem == "__init__" else parts)] = path
    return found


def measure(modules: Mapping[str, Path], top: int) -> Sizes:
    """Measure modules; list the `top` longest files and functions."""
    sources = {name: path.read_text() for name, path in modules.items()}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    lines = {name: len(source.splitlines()) for name, source in sources.items()}
    packages: Counter[str] = Counter()
    for name, path in modules.items():
        packages[package_of(name, path)] += lines[name]
    lengths = [
        (node.end_lineno - node.lineno + 1, f"{name}:{function}")
        for name, tree in trees.items()
        for function, node in functions(tree)
        if node.end_lineno
    ]
    names: dict[str, list[str]] = defaultdict(list)
    for name, path in modules.items():
        if not path.stem.startswith("__"):
            names[path.stem].append(name)
    edges = {name: imported(name, path, trees[name], modules) for name, path in modules.items()}
    return Sizes(
        files=len(modules),
        lines=sum(lines.values()),
        any_lines=sum(len(re.findall(r"^.*\bAny\b.*$", s, re.M)) for s in sources.values()),
        packages=dict(sorted(packages.items())),
        longest_files=sorted(((count, name) for name, count in lines.items()), reverse=True)[:top],
        longest_functions=sorted(lengths, reverse=True)[:top],
        cycles=cycles(edges),
        repeated={name: found for name, found in sorted(names.items()) if len(found) > 1},
    )


def package_of(name: str, path: Path) -> str:
    """Return the package that contains a module; a package contains its own __init__."""
    return name if path.stem == "__init__" else name.rpartition(".")[0]


def functions(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the functions and methods of a module, nested ones too, with qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def imported(name: str, path: Path, tree: ast.AST, modules: Mapping[str, Path]) -> set[str]:
    """Return the modules of ours that a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = source_of(node, package_of(name, path))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return found & modules.keys() - {name}


def source_of(node: ast.ImportFrom, package: str) -> str:
    """Return the absolute name of what `from ... import` imports from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(
        [*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])]
    )


def cycles(edges: Imports) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in order:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            start = stack.index(name)
            component = stack[start:]
            del stack[start:]
            if len(component) > 1:
                found.append(sorted(component))

    for name in edges:
        if name not in order:
            visit(name)
    return sorted(found)


def text(sizes: Sizes) -> str:
    """Return the measurements as text."""
    lines = [f"{sizes.lines:,} shipped lines in {sizes.files} files; {sizes.any_lines} mention Any"]
    totals: Counter[str] = Counter()
    for package, count in sizes.packages.items():
        totals[package.partition(".")[0]] += count
    lines += ["", "Lines by package"]
    for top, total in totals.items():
        lines.append(f"{total:7,}  {top}")
        inside = {p: n for p, n in sizes.packages.items() if p.partition(".")[0] == top}
        if len(inside) > 1:
            lines += [f"{count:11,}  {package}" for package, count in inside.items()]
    lines += ["", "Longest files"] + [f"{count:7}  {name}" for count, name in sizes.longest_files]
    lines += ["", "Longest functions"]
    lines += [f"{count:7}  {name}" for count, name in sizes.longest_functions]
    lines += ["", f"Import cycles: {len(sizes.cycles) or 'none'}"]
    lines += [f"  {' '.join(cycle)}" for cycle in sizes.cycles]
    lines += ["", f"Module names used more than once: {len(sizes.repeated) or 'none'}"]
    lines += [f"  {name}: {', '.join(where)}" for name, where in sizes.repeated.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

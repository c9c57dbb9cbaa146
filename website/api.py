"""The pages of the API: every public name of every package, rendered by mkdocstrings."""

from importlib import import_module
from types import ModuleType

PACKAGES = {
    "mupc": "The names that most programs need, under one import.",
    "pccore": "Predictive coding in JAX.",
    "transfer": "Specs, the search, the rerun at the target, and verdicts.",
    "results": "The ledger: tables, queries, figures and the report.",
    "jobs": "Pools of workers, and jobs on a cluster.",
}
"""The public packages with a description."""

MODULES = {"pccore": ("data", "theory")}
"""Public modules of a package that have public names of their own."""


def pages() -> dict[str, str]:
    """Return the text of every page by its place."""
    return {f"reference/api/{name}.md": _page(name) for name in PACKAGES}


def public_names(package: str) -> list[str]:
    """Return the public names of a package or module that are not packages themselves."""
    module = import_module(package)
    return [
        name
        for name in module.__all__
        if not name.startswith("__") and not isinstance(getattr(module, name), ModuleType)
    ]


def _page(package: str) -> str:
    pieces = [f"# `{package}`\n\n{PACKAGES[package]}\n"]
    pieces += [f"::: {package}.{name}\n" for name in public_names(package)]
    for module in MODULES.get(package, ()):
        path = f"{package}.{module}"
        pieces.append(f"## Module `{path}` {{ #{path} }}\n")
        pieces += [
            f"::: {path}.{name}\n    options: {{heading_level: 3}}\n" for name in public_names(path)
        ]
    return "\n".join(pieces)

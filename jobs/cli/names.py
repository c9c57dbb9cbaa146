"""The names that a spec may use, for completion: read from the schema that is shipped.

Importing the registries would load JAX, which takes seconds.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import jobs

EXAMPLES = Path(jobs.__file__).parents[1] / "mupc" / "examples"
"""The folder of the examples, in a checkout and where mupc is installed."""


def names_of(kind: str) -> list[str]:
    """Return the registered names of a kind: "data set", "variant", "activation", ...

    An installation without the examples, such as a job on a cluster, knows none.
    """
    try:
        schema = json.loads((EXAMPLES / "schema.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return next(_enumerations(schema, kind), [])


def _enumerations(node: object, kind: str) -> Iterator[list[str]]:
    if isinstance(node, dict):
        if node.get("title") == kind and "enum" in node:
            yield node["enum"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from _enumerations(inner, kind)

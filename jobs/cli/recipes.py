"""`mupc reproduce`: the command line of `experiments`, which only a source checkout contains."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import jobs
from jobs.errors import CommandError


def run_recipes_command(arguments: list[str]) -> int:
    """Run `python -m experiments` with these arguments in this process; returns its status.

    Raises:
        CommandError: the package `experiments` does not lie next to this one.
    """
    expected = Path(jobs.__file__).parents[1] / "experiments" / "__init__.py"
    found = find_spec("experiments")
    if found is None or found.origin is None or Path(found.origin) != expected:
        raise CommandError(
            "the recipes are part of the source checkout, not of the installed package: clone the "
            "repository and run python -m experiments in it"
        )
    app = import_module("experiments.__main__").app
    return int(app(arguments, standalone_mode=False, prog_name="mupc reproduce") or 0)

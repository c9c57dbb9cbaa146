"""Packages that only a bridge needs, which the user installs."""

from importlib import import_module
from types import ModuleType

from jobs.errors import CommandError


def require(module: str, package: str, purpose: str) -> ModuleType:
    """Return a module that is not among the dependencies of mupc.

    Args:
        module: the module.
        package: the name by which pip installs it.
        purpose: what needs it, in words that begin a sentence.

    Raises:
        CommandError: it is not installed, or cannot be loaded.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] == missing:
            raise CommandError(f"{purpose} needs {package}: pip install {package}") from None
        raise CommandError(f"{purpose} needs {package}, which does not load: {error}") from None

"""Work after the results are known, whose failure is a warning."""

from collections.abc import Callable
from typing import TypeVar

from jobs.cli.terminal import say
from jobs.errors import is_users, one_sentence

T = TypeVar("T")


def or_warning(failed: str, work: Callable[[], T]) -> T | None:
    """Return the result of `work`; print a warning and return None if it fails in any way.

    Args:
        failed: what then is missing, in words.
        work: merges files or draws, after everything that matters is stored.
    """
    try:
        return work()
    except Exception as error:  # whatever it is, it must not take the results along
        reason = str(error) if is_users(error) else one_sentence(error)
        say(f"mupc: warning: {failed}: {reason}", error=True)
        return None

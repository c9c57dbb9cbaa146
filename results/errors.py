"""What can be wrong with a ledger, and how it is said."""

from collections.abc import Iterable
from difflib import get_close_matches


class LedgerError(ValueError):
    """A folder, a row or a question that the ledger cannot take; the message is one sentence."""


class DamagedFileWarning(UserWarning):
    """A file was left out of an answer because it is not what was written; the message names it."""


def unknown(kind: str, name: object, known: Iterable[str]) -> LedgerError:
    """The error for a name that is none of `known`, with the nearest of them."""
    names = list(known)
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return LedgerError(f"unknown {kind} {name!r}: choose from {', '.join(names)}{hint}")


def because(error: BaseException) -> str:
    """The reason that an error gives, on one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).strip().splitlines()[0].rstrip(".")

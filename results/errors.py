"""Errors and warnings of the ledger."""

from collections.abc import Iterable
from difflib import get_close_matches

from results.untrusted import printable


class LedgerError(ValueError):
    """An invalid folder, row, filter or name; the message is one sentence."""


class TableError(ValueError):
    """A table of the user's own cannot be read; the message is one sentence."""


class DamagedFileWarning(UserWarning):
    """A damaged file was left out of a query; the message names it."""


def unknown(kind: str, name: object, known: Iterable[str]) -> LedgerError:
    """Return the error for a name that is not in `known`; suggest the nearest one."""
    names = list(known)
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {str(near[0])!r}?" if near else ""
    return LedgerError(f"unknown {kind} {name!r}: choose from {', '.join(names)}{hint}")


def because(error: BaseException) -> str:
    """Return the message of an error on one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(str(reason).strip().splitlines()[0].rstrip("."))

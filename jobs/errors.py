"""Errors of the package, and how those meant for users are told from bugs."""

OURS = ("pccore", "results", "transfer", "jobs")
LONGEST_CAUSE = 300  # characters of an error's text that are kept


class PoolError(RuntimeError):
    """A pool cannot work at all: no worker starts, or the cluster is out of reach. One sentence."""


class CommandError(ValueError):
    """What the command line was asked for cannot be done. One sentence."""


class SubmissionError(ValueError):
    """A job cannot be submitted, found or reached. One sentence."""


class TokenError(SubmissionError):
    """A cluster is not asked: without a token, with a wrong one, or because it asks for none."""


class MeasuringError(RuntimeError):
    """Nothing could be measured. One sentence."""


class SettingError(ValueError):
    """An environment variable of the project holds what it cannot. One sentence."""


def is_users(error: Exception) -> bool:
    """Whether an error is about what the user gave: its class is one of the project's own.

    Those have a sentence for the user as their text. Python's own classes are bugs, whose traceback
    must not be hidden.
    """
    return type(error).__module__.partition(".")[0] in OURS


def one_sentence(error: BaseException) -> str:
    """An error's class and the first line of its text, cut to a length fit for a table."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= LONGEST_CAUSE else text[: LONGEST_CAUSE - 3] + "..."

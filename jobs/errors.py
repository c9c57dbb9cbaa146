"""Errors of the package, and the distinction between user errors and bugs."""

OURS = ("pccore", "results", "transfer", "jobs")
LONGEST_CAUSE = 300  # characters


class PoolError(RuntimeError):
    """A pool cannot work: no worker starts, or the cluster cannot be reached."""


class CommandError(ValueError):
    """The arguments of a command are invalid."""


class SubmissionError(ValueError):
    """A job cannot be submitted, found or reached."""


class TokenError(SubmissionError):
    """A cluster requires no token, or there is no valid token for it."""


class MeasuringError(RuntimeError):
    """Nothing could be measured."""


class SettingError(ValueError):
    """An environment variable of the project has an invalid value."""


def is_users(error: Exception) -> bool:
    """Return whether an error is one of the user: its class belongs to this project.

    The text of such an error is one sentence for the user. Every other error is a bug and keeps its
    traceback.
    """
    return type(error).__module__.partition(".")[0] in OURS


def one_sentence(error: BaseException) -> str:
    """Return the class of an error and the first line of its text, cut to `LONGEST_CAUSE`."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= LONGEST_CAUSE else text[: LONGEST_CAUSE - 3] + "..."

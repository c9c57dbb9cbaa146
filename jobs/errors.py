"""Errors of the package, and the distinction between user errors and bugs."""

import traceback
from pathlib import Path

OURS = ("pccore", "results", "transfer", "jobs")
MAX_CAUSE = 300  # characters of an error's text that are kept


class PoolError(RuntimeError):
    """A pool cannot work: no worker starts, or the cluster cannot be reached."""


class CommandError(ValueError):
    """A command with options that contradict each other or the files they name."""


class SubmissionError(ValueError):
    """A job cannot be submitted, found or reached."""


class TokenError(SubmissionError):
    """A cluster is not used: a token is missing or wrong, or the cluster requires none."""


class MeasuringError(RuntimeError):
    """A layout cannot be measured, or its measurement cannot be stored."""


class SettingError(ValueError):
    """An environment variable of the project has an invalid value."""


def is_users(error: Exception) -> bool:
    """Return whether an error is the user's: its class is one of the project's.

    Their text is one sentence for the user. Python's own classes are bugs, whose traceback must not
    be hidden, except for values in the environment that JAX refuses while it is imported.
    """
    return type(error).__module__.partition(".")[0] in OURS or _is_of_jax_settings(error)


def _is_of_jax_settings(error: Exception) -> bool:
    frames = [
        frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return bool(frames) and frames[-1] == "jax._src.config"


def system_refusal(error: OSError) -> str:
    """Return what the operating system refused: a folder that is gone, a full device."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return "the current folder no longer exists: change to another one"
    place = f" {error.filename}:" if error.filename else ":"
    return f"the system refused{place} {error.strerror or one_sentence(error)}"


def one_sentence(error: BaseException) -> str:
    """Return an error's class and the first line of its text, shortened to fit into a table."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= MAX_CAUSE else text[: MAX_CAUSE - 3] + "..."

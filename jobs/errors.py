"""Errors of the package, and how those meant for users are told from bugs."""

OURS = ("pccore", "results", "transfer", "jobs")


class PoolError(RuntimeError):
    """A pool cannot work at all: no worker starts, or the cluster is out of reach. One sentence."""


class CommandError(ValueError):
    """What the command line was asked for cannot be done. One sentence."""


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

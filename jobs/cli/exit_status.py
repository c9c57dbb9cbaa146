"""The statuses with which commands exit, and the results that `--fail-on` names."""

import signal
from collections.abc import Sequence
from difflib import get_close_matches
from enum import IntEnum, StrEnum

from jobs.errors import CommandError
from results.vocabulary import VerdictLabel


class ExitStatus(IntEnum):
    """Exit statuses; a command that a signal stops exits with 128 + its number."""

    SUCCESS = 0
    ERROR = 1
    """A bug, whose traceback is printed; a job that was lost; a ledger with damaged files."""
    REFUSED = 2
    """An error of the user, in one sentence."""
    RUNS_FAILED = 3
    """Every run failed, or one did with --fail-on failed."""
    VERDICT = 4
    """A verdict that --fail-on names."""

    @property
    def text(self) -> str:
        """The meaning in words."""
        return MEANINGS[self]


MEANINGS = {
    ExitStatus.SUCCESS: "success",
    ExitStatus.ERROR: "an error of the program",
    ExitStatus.REFUSED: "an error of the user",
    ExitStatus.RUNS_FAILED: "runs failed",
    ExitStatus.VERDICT: "a verdict that --fail-on names",
}


class FailOn(StrEnum):
    """Results that `--fail-on` turns into an exit status other than 0."""

    DRIFTED = VerdictLabel.DRIFTED.value
    INCONCLUSIVE = VerdictLabel.INCONCLUSIVE.value
    UNTRAINED = VerdictLabel.UNTRAINED.value
    EDGE = VerdictLabel.EDGE.value
    FAILED = "failed"


def parse_fail_on(texts: Sequence[str]) -> tuple[FailOn, ...]:
    """Parse the values of `--fail-on`: names, or several separated by commas.

    Raises:
        CommandError: a name is unknown.
    """
    names = dict.fromkeys(name.strip() for text in texts for name in text.split(","))
    for name in names:
        if name not in list(FailOn):
            near = get_close_matches(name, list(FailOn), n=1)
            hint = f"; did you mean {str(near[0])!r}?" if near else ""
            raise CommandError(f"--fail-on {name!r} must be one of {', '.join(FailOn)}{hint}")
    return tuple(FailOn(name) for name in names)


def describe(status: int) -> str:
    """Return an exit status with its meaning: "3 (runs failed)", "143 (SIGTERM)"."""
    if status in list(ExitStatus):
        return f"{status} ({ExitStatus(status).text})"
    try:
        return f"{status} ({signal.Signals(status - 128).name})"
    except ValueError:
        return str(status)

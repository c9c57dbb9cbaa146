"""An export that is kept up to date while an experiment runs."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.bridges import FORMS
from jobs.bridges.places import only_writer
from jobs.bridges.source import Source
from pccore import Outcome
from transfer.engine.progress import Progress
from transfer.engine.runs import AnyRun

if TYPE_CHECKING:
    from jobs.bridges import Bridge
    from results import Ledger

SECONDS = 10.0
SHARE = 0.1  # of the time: the runs wait while an export is written


class LiveExport(Progress):
    """The runs of the experiment in Optuna, MLflow or TensorBoard, as they finish.

        mupc.run(experiment, ledger, pool, progress=mupc.LiveExport("mlflow"))

    It writes what `mupc export` writes, takes at most a tenth of the time, and continues what is
    there.

    Args:
        form: "optuna", "mlflow" or "tensorboard".
        place: the file or folder; by default that of `mupc export`.
        seconds: the shortest interval between two updates.
        clock: seconds, monotonic.

    Raises:
        ValueError: no such form.
    """

    def __init__(
        self,
        form: str,
        place: Path | str | None = None,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        known = {name: each for name, each in FORMS.items() if each.bridge is not None}
        if form not in known:
            raise ValueError(f"form must be one of {', '.join(known)}, got {form!r}")
        self._make = known[form].bridge
        self._place = Path(place or known[form].place)
        self._seconds, self._clock = seconds, clock
        self._after = 0.0
        self._lock = ExitStack()
        self._bridge: Bridge | None = None

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        """Open the place."""
        assert self._make is not None
        self._lock.enter_context(only_writer(self._place))
        self._bridge = self._make(self._place)
        self._source = Source(ledger, [experiment])

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Write what is new, if it is time."""
        if self._clock() >= self._after:
            self._update()

    def end(self, error: BaseException | None) -> None:
        """Write the rest, unless a signal ended the job."""
        try:
            if not isinstance(error, KeyboardInterrupt):
                self._update()
        finally:
            self._lock.close()

    def _update(self) -> None:
        if self._bridge is None:  # it could not be opened, and has said so
            return
        begun = self._clock()
        self._bridge.update(self._source)
        took = self._clock() - begun
        self._after = begun + max(self._seconds, took / SHARE)

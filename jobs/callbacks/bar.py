"""A progress bar, on a terminal and in a notebook."""

import warnings
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from pccore import Outcome, Status
from results.vocabulary import OutcomeLabel
from transfer.engine.progress import Progress
from transfer.engine.runs import AnyRun

if TYPE_CHECKING:
    from tqdm import tqdm

    from results import Ledger


class ProgressBar(Progress):
    """A bar of the runs that are done, with the counts of those without a result.

        mupc.run(experiment, ledger, pool, progress=mupc.ProgressBar())

    In a notebook it is a widget if ipywidgets is installed, and text otherwise.

    Args:
        file: where it is printed; by default stderr.
    """

    _bar: "tqdm"

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._name = ""
        self._ended: Counter[Status] = Counter()

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        """Show an empty bar."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that ipywidgets is missing
            from tqdm.auto import tqdm
        self._name, self._ended = experiment, Counter()
        self._bar = tqdm(total=0, desc=experiment, unit="run", file=self._file, dynamic_ncols=True)

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Show how many runs are done and expected."""
        self._bar.total = total_runs
        self._bar.n = already_done
        self._bar.set_description(f"{self._name} {name}", refresh=False)
        self._bar.refresh()

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Advance by a run."""
        if outcome.status is not Status.TRAINED:
            self._ended[outcome.status] += 1
            counts = sorted(self._ended.items())
            shown = ", ".join(f"{count} {OutcomeLabel(each).text}" for each, count in counts)
            self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update(1)

    def end(self, error: BaseException | None) -> None:
        """Leave the bar as it is."""
        self._bar.close()

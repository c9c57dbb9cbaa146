"""The state of a ledger for the page: kept up to date by one thread, which alone reads."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from jobs.dashboard.experiments import (
    curves_payload,
    layers_payload,
    runs_at,
    section_payload,
    table_payload,
)
from jobs.dashboard.landscapes import Json, Landscapes
from jobs.dashboard.plain import plain, text
from jobs.errors import CommandError
from results import Ledger, LedgerError
from results.figures.cells import rates_of_runs, records
from results.landscape import Cell
from results.live.ledger import LiveLedger
from results.page.conclusion import conclusion
from results.page.sections import Section, collect
from results.shapes import Shape
from results.storage.announcements import Announcement
from results.vocabulary import VerdictLabel

Select = Callable[[pd.DataFrame, list[str]], pd.DataFrame]
"""Returns the rows of a frame that meet conditions in text; raises `CommandError`."""

MOST_SECTIONS = 4  # experiments whose sections are kept
MOST_DAMAGED = 50  # damaged files that are named
ROWS = 100  # of a page of the table
FIRST_COLUMNS = ("run_id", "phase", "variant", "activation", "width", "depth")
LAST_COLUMNS = (
    *("seed", "outcome", "final_train_loss", "test_accuracy", "layers_learned", "seconds"),
    "cause",
)


class Watcher:
    """Reads a ledger again and again, and answers the page's questions about it.

    Methods run on the watcher's thread, one at a time: call them by `executor`.

    Args:
        ledger: an open ledger.
        select: how conditions on rows are read.

    Attributes:
        executor: the thread.
    """

    def __init__(self, ledger: Ledger, select: Select) -> None:
        self.executor = ThreadPoolExecutor(1, "ledger")
        self._live = LiveLedger(ledger)
        self._ledger, self._select = ledger, select
        self._claims = ledger.claims("dashboard")  # never entered: it only reads those of others
        self._landscapes = Landscapes()
        self._sections: OrderedDict[str, tuple[Hashable, list[Section]]] = OrderedDict()
        self._sentences: dict[str, tuple[Hashable, Json]] = {}
        self._announced: dict[str, Announcement] = {}
        self._drivers: dict[str, list[str]] = {}
        self._reading: Iterator[tuple[int, int]] | None = None
        self._progress: tuple[int, int] | None = None
        self._problem = ""

    @property
    def pause(self) -> float:
        """Seconds between two looks at the ledger: listing an object store costs requests."""
        return 2.0 if self._live.local else 10.0

    def step(self) -> bool:
        """Read some new files; return whether there are more."""
        try:
            if self._reading is None:
                self._look_for_drivers()
                self._reading = self._live.refresh()
            self._progress = next(self._reading)
        except StopIteration:
            self._reading = self._progress = None
        except LedgerError as error:  # out of reach for a while
            self._reading = self._progress = None
            self._problem = text(error)
            return False
        self._problem = ""
        return self._reading is not None

    def _look_for_drivers(self) -> None:
        self._announced = self._ledger.announcements.read()
        drivers: dict[str, list[str]] = {}
        for register in self._claims.others():
            drivers.setdefault(register.about, []).append(str(register))
        self._drivers = drivers

    def overview(self) -> Json:
        """Return every experiment with its state, and what is wrong with the ledger."""
        damaged = self._live.damaged
        names = {*self._live.experiments(), *self._drivers}
        progress = self._progress
        return {
            "ledger": text(self._live.place),
            "reading": None if progress is None else {"read": progress[0], "of": progress[1]},
            "problem": self._problem,
            "experiments": [self._experiment(name) for name in sorted(names)],
            "damaged": [
                {"path": text(path), "fault": text(fault)}
                for path, fault in sorted(damaged.items())[:MOST_DAMAGED]
            ],
            "damaged_count": len(damaged),
        }

    def _experiment(self, name: str) -> Json:
        counts = self._live.counts.get(name)
        announced = self._announced.get(name)
        done = 0 if counts is None else counts.runs
        total = None if announced is None else max(announced.total, done)
        state = self._state(name, done, total)
        left = announced.seconds_left if announced and state == "running" else None
        return {
            "name": text(name),
            "key": name,
            "state": state,
            "phase": text(announced.phase) if announced and state == "running" else "",
            "drivers": [text(driver) for driver in self._drivers.get(name, ())],
            "runs": done,
            "total": total,
            "left": left,
            "outcomes": {} if counts is None else counts.outcomes,
            "newest": plain(None if counts is None else counts.newest),
            **self._judged(name),
        }

    def _state(self, name: str, done: int, total: int | None) -> str:
        if name in self._drivers:
            return "running"
        if total is not None and done < total:
            return "stopped"
        return "finished" if self._judged(name)["verdicts"] else "unjudged"

    def _judged(self, name: str) -> Json:
        """Return the verdicts of an experiment by label, and its conclusion."""
        signature = self._live.judged
        known = self._sentences.get(name)
        if known is None or known[0] != signature:
            rows = records(self._live.verdicts(experiment=name))
            labels = [*VerdictLabel, *sorted({row["verdict"] for row in rows} - {*VerdictLabel})]
            counts = {text(each): sum(row["verdict"] == each for row in rows) for each in labels}
            found = {
                "verdicts": {each: count for each, count in counts.items() if count},
                "conclusion": text(conclusion(rows)),
            }
            known = self._sentences[name] = signature, found
        return known[1]

    def experiment(self, name: str) -> Json:
        """Return all that is shown of an experiment at first.

        Raises:
            LedgerError: there is no such experiment.
        """
        sections = self.sections(name)
        announced = self._announced.get(name)
        planned = None if announced is None else announced.planned
        return {
            **self._experiment(name),
            "unproven": self._live.unproven(name),
            "sections": [
                section_payload(section, self._landscapes, planned) for section in sections
            ],
        }

    def sections(self, name: str) -> list[Section]:
        """Return the sections of an experiment, made anew if it has new rows."""
        if name not in self._live.experiments():
            if name in self._drivers:
                return []
            raise LedgerError(f"there is no experiment {name!r} in the ledger")
        signature = self._live.signature(name)
        known = self._sections.get(name)
        if known is None or known[0] != signature:
            known = signature, collect(self._live, name, details=False)
            self._sections[name] = known
        self._sections.move_to_end(name)
        while len(self._sections) > MOST_SECTIONS:
            self._sections.popitem(last=False)
        return known[1]

    def signature(self, name: str) -> Hashable:
        """Return what is equal as long as an experiment looks the same."""
        return self._live.signature(name), self._announced.get(name), name in self._drivers

    def curves(self, name: str, place: int, variant: str, shape: Shape, cell: Cell) -> Json:
        """Return the training curves of a cell.

        Raises:
            LedgerError: there is no such experiment, or no such section in it.
        """
        runs = runs_at(self._section(name, place), variant, shape, cell)
        ids = [str(run_id) for run_id in runs["run_id"]]
        curves = self._live.curves(run_id=ids)
        return curves_payload(runs, curves)

    def layers(self, name: str, place: int) -> list[Json]:
        """Return the change of every layer at the transferred cells; raises as `curves` does."""
        moved = self._section(name, place).moved
        ids = [str(run_id) for run_id in moved["run_id"]]
        return layers_payload(moved, self._live.layers(run_id=ids)) if ids else []

    def table(self, name: str, where: list[str], sort: str, first: int) -> Json:
        """Return a page of the runs of an experiment.

        Raises:
            LedgerError: there is no such experiment.
            CommandError: a condition is none, or the column to sort by does not exist.
        """
        if name not in self._live.experiments():
            raise LedgerError(f"there is no experiment {name!r} in the ledger")
        frame = self._select(self._live.runs(experiment=name), where)
        if sort:
            column = sort.removeprefix("-")
            if column not in frame:
                raise CommandError(f"there is no column {column!r} to sort by")
            ascending = not sort.startswith("-")
            frame = frame.sort_values(column, ascending=ascending, kind="stable")
        columns = (*FIRST_COLUMNS, *rates_of_runs(frame), *LAST_COLUMNS)
        return table_payload(frame, list(dict.fromkeys(columns)), first, ROWS)

    def comparison(self, one: str, other: str) -> list[dict[str, object]]:
        """Return the settings in which the specs of two experiments differ.

        Raises:
            LedgerError: an experiment has no verdict, which has the spec.
        """
        from results.comparison import compare

        found = compare(self._live.verdicts(), one, other).settings
        return [
            {"setting": text(row["setting"]), "values": [_shown(row[one]), _shown(row[other])]}
            for row in records(found)
        ]

    def _section(self, name: str, place: int) -> Section:
        sections = self.sections(name)
        if not 0 <= place < len(sections):
            raise LedgerError(f"experiment {name!r} has no section {place}")
        return sections[place]

    def close(self) -> None:
        """End the thread."""
        self.executor.shutdown(wait=True, cancel_futures=True)


def _shown(value: object) -> str:
    return "–" if value is None or value != value else text(value)

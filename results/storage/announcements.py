"""How far the drivers of a ledger are, as they announce it: one small file per experiment.

Nothing depends on it. A driver writes it every few seconds for those who watch; whether the driver
is alive is a matter of its claims (`results.storage.claims`).
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256

import pyarrow as pa

from results.errors import LedgerError
from results.storage.folder import Folder
from results.storage.regular import UnfitFileError

FOLDER = "progress"
MOST_BYTES = 2**20
MOST_COUNT = 1e15
MOST_CELLS = 10_000
"""The most cells of a variant that are announced."""
_SUFFIX = ".json"


@dataclass(frozen=True)
class Planned:
    """The cells that an experiment searches, to be shown before they have run.

    Attributes:
        rates: by variant the values of each searched rate, by its name in `runs`; no variant whose
            rates are not all lists.
        shapes: the tuned shapes and the targets, (width, depth).
        tuned: how many of the shapes are tuned, the first ones.
    """

    rates: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    shapes: tuple[tuple[int, int], ...] = ()
    tuned: int = 0


@dataclass(frozen=True)
class Announcement:
    """How far a driver is.

    Attributes:
        experiment: name of the experiment.
        phase: "tune", "transfer" or "start".
        done: runs in the ledger.
        total: runs of the whole experiment, as far as known.
        seconds_left: expected until the end; None if unknown.
        ended: whether the driver has ended, by itself or because it was stopped.
        planned: the cells that it searches.
    """

    experiment: str
    phase: str
    done: int
    total: int
    seconds_left: float | None
    ended: bool = False
    planned: Planned = field(default_factory=Planned)


class Announcements:
    """The announcements in a ledger.

    Args:
        folder: of the ledger.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def write(self, announcement: Announcement) -> None:
        """Replace what was announced of the experiment.

        Raises:
            LedgerError: the folder cannot be written to.
        """
        digest = sha256(announcement.experiment.encode("utf-8", "replace")).hexdigest()[:16]
        data = json.dumps(asdict(announcement)).encode()
        self._folder.publish(f"{FOLDER}/{digest}{_SUFFIX}", data, replace=True)

    def read(self) -> dict[str, Announcement]:
        """Return the announcements by experiment, without those that are none.

        Raises:
            LedgerError: the folder cannot be read.
        """
        found = {}
        with self._folder.reading():
            for name in self._folder.names(FOLDER):
                if name.startswith(".") or not name.endswith(_SUFFIX):
                    continue
                announcement = self._parsed(f"{FOLDER}/{name}")
                if announcement is not None:
                    found[announcement.experiment] = announcement
        return found

    def _parsed(self, path: str) -> Announcement | None:
        try:
            content = json.loads(self._folder.read(path, most=MOST_BYTES))
            planned = content.get("planned") or {}
            left = content.get("seconds_left")
            return Announcement(
                str(content["experiment"]),
                str(content["phase"]),
                _count(content["done"]),
                _count(content["total"]),
                None if left is None else _positive(left),
                bool(content["ended"]),
                Planned(
                    {str(name): _lists(rates) for name, rates in planned["rates"].items()},
                    tuple((_count(width), _count(depth)) for width, depth in planned["shapes"]),
                    _count(planned["tuned"]),
                ),
            )
        except (
            *(FileNotFoundError, UnfitFileError, ValueError, TypeError, KeyError, AttributeError),
            *(RecursionError, OverflowError, LedgerError, pa.ArrowInvalid),
        ):
            return None


def _count(value: object) -> int:
    return int(_positive(value))


def _positive(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number <= MOST_COUNT:
        raise ValueError("not a count")
    return number


def _lists(rates: Mapping[str, Iterable[object]]) -> dict[str, tuple[float, ...]]:
    """Return the values of each rate, as numbers."""
    found = {str(rate): tuple(map(_positive, values)) for rate, values in rates.items()}
    if math.prod(map(len, found.values())) > MOST_CELLS:
        raise ValueError("too many cells")
    return found

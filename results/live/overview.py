"""What a ledger holds at a glance: its runs by experiment and outcome, kept up to date."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from results.live.cache import Part, TableCache
from results.schema.tables import TABLES
from results.storage.reading import Reader
from results.vocabulary import OutcomeLabel

COLUMNS = ("run_id", "experiment", "outcome", "recorded", "started")
OUTCOMES = tuple(str(outcome) for outcome in OutcomeLabel)


@dataclass(frozen=True)
class Counts:
    """The runs of an experiment.

    Attributes:
        outcomes: runs by outcome, each counted once; one that failed and was trained later counts
            as trained.
        newest: when the newest row was recorded; None where it is not known.
        files: the files that hold its runs.
    """

    outcomes: dict[str, int]
    newest: datetime | None
    files: frozenset[str]

    @property
    def runs(self) -> int:
        """All runs."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class _Some:
    """The runs of one experiment in the files of a part: hashes of their ids, codes of outcomes."""

    hashes: np.ndarray
    outcomes: np.ndarray
    newest: int


class Overview:
    """Counts of all runs of a ledger, 9 bytes a run.

    Rows are counted as they are: whether the id of a run is the hash of its settings, which takes
    most of the time of a query, is verified where its results are shown.

    Args:
        reader: of the ledger.
    """

    def __init__(self, reader: Reader) -> None:
        self._cache = TableCache(reader, TABLES["runs"], COLUMNS)
        self._by_part: dict[frozenset[str], dict[str, _Some]] = {}
        self._counts: dict[str, tuple[frozenset[frozenset[str]], Counts]] = {}

    @property
    def damaged(self) -> dict[str, str]:
        """The fault of each damaged file of runs by path."""
        return self._cache.damaged

    def refresh(self) -> Iterator[tuple[int, int]]:
        """Read new files; yield as `TableCache.refresh` does."""
        for progress in self._cache.refresh():
            self._digest()
            yield progress
        self._digest()

    def experiments(self) -> dict[str, Counts]:
        """Return the counts of every experiment by name."""
        holding = defaultdict(set)
        for paths, found in self._by_part.items():
            for name in found:
                holding[name].add(paths)
        self._counts = {
            name: self._count(name, frozenset(parts)) for name, parts in holding.items()
        }
        return {name: counts for name, (_, counts) in sorted(self._counts.items())}

    def _digest(self) -> None:
        """Replace the rows of new parts by counts, and forget parts that are gone."""
        there = {part.paths for part in self._cache.parts}
        self._by_part = {paths: some for paths, some in self._by_part.items() if paths in there}
        for place, part in enumerate(self._cache.parts):
            if part.paths not in self._by_part:
                self._by_part[part.paths] = _digest(part.rows)
                self._cache.parts[place] = Part(part.paths, part.rows.slice(0, 0))

    def _count(
        self, name: str, parts: frozenset[frozenset[str]]
    ) -> tuple[frozenset[frozenset[str]], Counts]:
        known = self._counts.get(name)
        if known is not None and known[0] == parts:
            return known
        some = [self._by_part[paths][name] for paths in parts]
        hashes = np.concatenate([each.hashes for each in some])
        outcomes = np.concatenate([each.outcomes for each in some])
        failed = outcomes == OUTCOMES.index(OutcomeLabel.FAILED)
        order = np.lexsort((failed, hashes))  # of the rows of a run, one with a result comes first
        first = np.ones(len(order), bool)
        first[1:] = hashes[order][1:] != hashes[order][:-1]
        counted = Counter(outcomes[order][first].tolist())
        newest = max(each.newest for each in some)
        files = frozenset(path for paths in parts for path in paths)
        return parts, Counts(
            {word: counted.get(code, 0) for code, word in enumerate(OUTCOMES)},
            datetime.fromtimestamp(newest / 1e6, UTC) if newest else None,
            files,
        )


def _digest(rows: pa.Table) -> dict[str, _Some]:
    """Return the runs of every experiment in some rows."""
    if not rows.num_rows:
        return {}
    rows = rows.combine_chunks()
    experiments = rows["experiment"].chunk(0).dictionary_encode()
    codes = experiments.indices.to_numpy(zero_copy_only=False)
    hashes = np.fromiter(map(hash, rows["run_id"].to_pylist()), np.int64, rows.num_rows)
    words = pa.array(OUTCOMES)
    outcomes = pc.index_in(rows["outcome"].chunk(0), words).to_numpy(zero_copy_only=False)
    times = pc.cast(pc.coalesce(rows["recorded"], rows["started"]), pa.int64())
    ages: np.ndarray = pc.fill_null(times, 0).to_numpy()
    found: dict[str, _Some] = {}
    for code, name in enumerate(experiments.dictionary.to_pylist()):
        mine: np.ndarray = codes == code
        found[str(name)] = _Some(
            hashes[mine], outcomes[mine].astype(np.int8), int(ages[mine].max())
        )
    return found

"""Files cut at every byte or with flipped bits are named, and nothing else is lost."""

import random
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from fewer import every
from ledger_rows import curve_rows, files, run_row

import results
from results import DamagedFileWarning
from results.storage.files import (
    LARGE,
    MAGIC,
    TRAILER,
    content_fault,
    footer_fault,
    footer_size,
    parse,
)

FLIPS = 160
"""Bits flipped in pages and footer each; of magic number and trailer every bit is flipped."""


@dataclass
class Victim:
    """A file of a ledger that holds others too.

    Attributes:
        folder: the ledger's.
        table: the file's.
        path: where it is.
        data: what was written.
        whole: what the ledger answers while the file is sound.
        rest: what it answers without the file.
    """

    folder: Path
    table: str
    path: Path
    data: bytes
    whole: pd.DataFrame
    rest: pd.DataFrame

    def answer(self) -> pd.DataFrame:
        """Return the query results of a freshly opened ledger."""
        ledger = results.open(self.folder)
        return ledger.runs() if self.table == "runs" else ledger.curves()

    def is_left_out(self) -> bool:
        """Return whether reading leaves it out with a warning; otherwise check the results."""
        [damage] = results.open(self.folder).check()
        assert damage.path == f"{self.table}/{self.path.name}"
        assert damage.cause
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer = self.answer()
        if not caught:
            assert answer.equals(self.whole)
            return False
        [warning] = caught
        assert warning.category is DamagedFileWarning
        said = str(warning.message)
        assert f"left out {damage.path} of" in said
        assert "which is damaged: it" in said
        assert answer.equals(self.rest)
        return True


@pytest.fixture(
    params=[
        "runs",
        pytest.param("compressed curves", marks=pytest.mark.slow),
        pytest.param("compressed runs", marks=pytest.mark.slow),
        pytest.param("curves", marks=pytest.mark.slow),
    ]
)
def victim(tmp_path: Path, request: pytest.FixtureRequest) -> Victim:
    table = str(request.param).split()[-1]
    count = LARGE if "compressed" in request.param else 2
    ledger = results.open(tmp_path, create=True)
    if table == "runs":
        ledger.append([run_row("rest")])
        rest = ledger.runs()
        ledger.append([run_row(f"{k}", depth=k % 7, weight_lr=0.1 * k) for k in range(count)])
        whole = ledger.runs()
    else:
        ledger.append([run_row("rest")], curve_rows("rest"))
        rest = ledger.curves()
        ledger.append([run_row("a")], curve_rows("a", points=count))
        whole = ledger.curves()
    path = max(files(tmp_path, table), key=lambda path: path.stat().st_mtime_ns)
    assert len(files(tmp_path, table)) == 2
    return Victim(tmp_path, table, path, path.read_bytes(), whole, rest)


def parts(data: bytes) -> dict[str, range]:
    """The byte ranges of a Parquet file by part."""
    footer = len(data) - footer_size(data[-TRAILER:])
    return {
        "magic number": range(len(MAGIC)),
        "pages": range(len(MAGIC), footer),
        "footer": range(footer, len(data) - TRAILER),
        "trailer": range(len(data) - TRAILER, len(data)),
    }


def bits(data: bytes) -> dict[str, Iterable[int]]:
    """Return the bits to flip by part of the file."""
    draw = random.Random(7)
    every = {name: range(8 * part.start, 8 * part.stop) for name, part in parts(data).items()}
    return {
        name: each if len(each) <= FLIPS else draw.sample(each, FLIPS)
        for name, each in every.items()
    }


def test_detects_every_flipped_bit(victim: Victim) -> None:
    flipped = bits(victim.data)
    assert sum(len(list(each)) for each in flipped.values()) >= 400
    for name, places in flipped.items():
        left_out = []
        for place in list(places)[:: every(7)]:
            data = bytearray(victim.data)
            data[place // 8] ^= 1 << place % 8
            victim.path.write_bytes(data)
            left_out.append(victim.is_left_out())
        if name in ("footer", "trailer"):
            assert all(left_out)
        elif name == "pages":  # but for bits of their headers that no reader looks at
            assert sum(left_out) > len(left_out) // 2
    victim.path.write_bytes(victim.data)
    assert results.open(victim.folder).check() == []
    assert victim.answer().equals(victim.whole)


def test_detects_every_truncation(victim: Victim) -> None:
    lengths = {0, 1, 4, 8, 9, 12, *(len(victim.data) - n for n in (1, 4, 5, 8, 9))}
    step = len(victim.data) // 60 * every(3)
    for length in sorted(lengths | set(range(0, len(victim.data), step)), reverse=True):
        victim.path.write_bytes(victim.data[:length])
        assert victim.is_left_out()
    victim.path.write_bytes(victim.data + b"\0")
    assert victim.is_left_out()


def test_every_truncation_has_both_faults(victim: Victim) -> None:
    """Check both comparisons of reading and checking at every length of the file."""
    file = parse(victim.table, victim.path.name, len(victim.data))
    assert file is not None
    for length in range(len(victim.data)):
        data = victim.data[:length]
        assert content_fault(file, data)
        assert footer_fault(file, lambda last, data=data: data[-last:])  # type: ignore[misc]
    assert content_fault(file, victim.data) is None
    assert footer_fault(file, lambda last: victim.data[-last:]) is None


@pytest.mark.slow
def test_names_and_leaves_out_every_truncated_file(victim: Victim) -> None:
    """Cut a small file of curves at every length, longer files at about 3,000 lengths."""
    for length in reversed(range(0, len(victim.data), 1 + len(victim.data) // 3_000)):
        victim.path.write_bytes(victim.data[:length])
        assert victim.is_left_out()

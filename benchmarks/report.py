"""Results of a benchmark: a table, ratios for `make bench`, an entry for the record."""

import argparse
import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from measure import ROOT, usable_cpus

LOG = ROOT / "docs" / "decisions" / "benchmarks.md"
WIDTH = 120  # of the log's lines


@dataclass
class Report:
    """A measured table.

    Attributes:
        title: what was measured.
        columns: headings of the table.
        rows: its cells, as text.
        notes: sentences needed to read the table.
        ratios: numbers by name that another machine would reproduce; larger is better.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """Return the table in Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def publish(self, options: argparse.Namespace) -> None:
        """Print the table or the ratios; append the table to the log with --log."""
        if options.json:
            print(json.dumps(self.ratios))
        else:
            print(self.table)
            print("\n".join(["", *self.notes]))
        if options.log:
            append(self.entry(command()), LOG, date.today())

    def entry(self, how: str) -> str:
        """Return the table as an entry of the record; `how` says how it was measured."""
        text = " ".join([f"**{self.title}** ({how}).", *self.notes])
        return f"{textwrap.fill(text, WIDTH, break_on_hyphens=False)}\n\n{self.table}\n"


def command() -> str:
    """Return the command of this process, the commit, the JAX version and the cores."""
    text = " ".join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]).replace(" --log", "")
    cores = len(usable_cpus())
    return f"`{text}`, commit {commit()}, JAX {version('jax')}, cores: {cores}"


def commit() -> str:
    """Return the commit that is measured, with "-dirty" where files differ from it."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    found = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def append(entry: str, log: Path, today: date) -> None:
    """Append an entry under today's heading of benchmarks; add the heading if needed."""
    text = log.read_text() if log.exists() else "# Benchmarks\n"
    heading = f"## {today}: benchmarks"
    last = [line for line in text.splitlines() if line.startswith("## ")][-1:]
    parts = [text.rstrip("\n"), *([] if last == [heading] else [heading]), entry.rstrip("\n")]
    log.write_text("\n\n".join(part for part in parts if part) + "\n")

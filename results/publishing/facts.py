"""What the card and the metadata of a data set say of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import pandas as pd


@dataclass(frozen=True)
class About:
    """What only the owner of a data set knows.

    Attributes:
        title: its title; None names the experiments.
        authors: names of the authors.
        license: an identifier such as cc-by-4.0; None if none was chosen.
    """

    title: str | None = None
    authors: Sequence[str] = ()
    license: str | None = None


@dataclass
class Published:
    """A table of the data set.

    Attributes:
        name: name of the table.
        rows: the number of its rows.
        file: path of its file in the folder.
        digest: SHA-256 of the file, hexadecimal.
        columns: name, type, unit and description of its columns.
    """

    name: str
    rows: int
    file: str
    digest: str
    columns: pd.DataFrame = field(repr=False)


@dataclass(frozen=True)
class Facts:
    """What the card says of the tables.

    Attributes:
        title: the title.
        runs: rows of `runs`.
        verdicts: rows of `verdicts`; None without any.
        newest: the day of the newest row.
        digest: of the ids of all runs and of their results, by which one edition is told from
            another.
    """

    title: str
    runs: pd.DataFrame
    verdicts: pd.DataFrame | None
    newest: str
    digest: str

    @classmethod
    def of(cls, frames: Mapping[str, pd.DataFrame], about: About) -> "Facts":
        """Gather the facts of tables."""
        runs = frames["runs"]
        names = sorted(set(runs["experiment"]))
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        newest = runs["recorded"].fillna(runs["started"]).max()
        content = runs[["run_id", "outcome", "final_train_loss"]].to_csv(index=False)
        return cls(
            about.title or f"Learning-rate transfer runs: {shown}",
            runs,
            frames.get("verdicts"),
            f"{newest:%Y-%m-%d}",
            sha256(content.encode()).hexdigest()[:12],
        )

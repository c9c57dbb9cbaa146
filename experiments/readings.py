"""Readings: what a claim that does not hold at `small` says about the documents, and why.

They are data, in `experiments/readings/<recipe>.toml`, with one table for each claim by its text:

    ["muPC is comparable with BP in the deepest networks"]
    verdict = "undecided"     # or "contradicted", "untestable"
    because = "size"          # what stands between the measurement and the claim (`CAUSES`)
    decides = "N = 512 over a whole epoch"
    cost = "40 core-hours"    # optional; by default that of the recipe's full scale
    note = "The measurements that show it."
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "readings"


class Verdict(StrEnum):
    """The verdict on a claim."""

    REPRODUCED = "reproduced"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided at this size"
    UNTESTABLE = "not testable here"


CAUSES: Mapping[str, tuple[str, ...]] = {
    "contradicted": ("interval", "proof"),
    "undecided": ("size", "seeds", "length", "tolerance", "reading", "protocol"),
    "untestable": ("machine", "data"),
}
"""What may stand behind each verdict in a file: evidence, or what is missing."""

VERDICTS: Mapping[str, Verdict] = {
    "contradicted": Verdict.CONTRADICTED,
    "undecided": Verdict.UNDECIDED,
    "untestable": Verdict.UNTESTABLE,
}
KEYS = {"verdict", "because", "decides", "cost", "note"}


@dataclass(frozen=True)
class Reading:
    """What a measurement that misses a claim means.

    Attributes:
        verdict: the verdict if the claim does not hold; `UNTESTABLE` also if it holds.
        because: the cause, one of `CAUSES`.
        note: the measurements that show it.
        decides: what would decide an undecided claim.
        cost: what that costs; "" for the full scale's estimate.
    """

    verdict: Verdict
    because: str
    note: str
    decides: str = ""
    cost: str = ""


@cache
def readings(recipe: str, folder: Path = FOLDER) -> Mapping[str, Reading]:
    """Return the readings of a recipe by the text of their claims.

    Raises:
        ValueError: a file has an unknown key, verdict or cause, or lacks what decides.
    """
    path = folder / f"{recipe}.toml"
    if not path.exists():
        return {}
    tables = tomllib.loads(path.read_text())
    return {text: _reading(f"{path.name}: {text!r}", table) for text, table in tables.items()}


def _reading(where: str, table: Mapping[str, str]) -> Reading:
    for unknown in table.keys() - KEYS:
        raise ValueError(f"{where} has the key {unknown!r}, known are {', '.join(sorted(KEYS))}")
    verdict, because = table.get("verdict", ""), table.get("because", "")
    if because not in CAUSES.get(verdict, ()):
        allowed = "; ".join(f"{name}: {', '.join(causes)}" for name, causes in CAUSES.items())
        raise ValueError(
            f"{where} has verdict {verdict!r} because {because!r}, allowed are {allowed}"
        )
    if verdict == "undecided" and not table.get("decides"):
        raise ValueError(f"{where} is undecided: say in `decides` what would decide it")
    note = " ".join(table.get("note", "").split())
    if not note:
        raise ValueError(f"{where} has no note with the measurements that show its cause")
    return Reading(
        VERDICTS[verdict], because, note, table.get("decides", ""), table.get("cost", "")
    )

"""The page docs/scorecard.md: the rows of the newest ledger of each recipe, and what they say.

Ledgers are not part of the repository. `scorecard.json`, which is, has for every recipe what a
ledger had: measurements, verdicts, and when its newest row was written. `updated` replaces the
recipes that a ledger has, and `page` writes all of them.
"""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from experiments.cost import missing
from experiments.evidence import gather
from experiments.readings import Verdict, readings
from experiments.recipe import Recipe
from experiments.scale import Scale
from experiments.scorecard import NOT_RUN, Line, as_markdown, counts

if TYPE_CHECKING:
    from results import Ledger

RECORD = Path(__file__).with_name("scorecard.json")
WIDTH = 100

HEAD = """
What the source documents claim, what was measured at the `small` scale, and what that says. T is
the thesis, P the paper. **{counts}.** No recipe was run at the `full` scale; `python -m experiments
list` estimates its cost.
"""

VERDICTS = """\
| verdict | meaning |
| --- | --- |
| reproduced | the measurement is within the tolerance, in more than one seed |
| contradicted | it is not, and an interval over seeds or a proof shows it |
| undecided at this size | the measurement does not test the claim; the note says why, what would \
decide, and what that costs |
| not testable here | the machine or a data set is lacking, whatever the measurement says |
"""

AFTER_VERDICTS = """
Below the tables, *claim* (cause) note. The causes and notes are data, in `experiments/readings/`.
Column `s` gives seconds summed over workers, under load and therefore too long. Tolerances changed
after a result was seen are listed in [decisions](decisions/theory-and-recipes.md).
"""

SOURCES = """
**Which measurements.** Ledgers are not part of the repository. `python -m experiments scorecard
--ledger runs --page docs/scorecard.md` judges a ledger by today's rules and writes this page: the
recipes that the ledger has are replaced, the others keep what was measured before, with the verdict
of that time, as `experiments/scorecard.json` has it. "not stored" stands where a former measurement
lacks what today's rule needs.
"""

BEYOND = """
## Beyond the source documents

These recipes test claims of our own (`effective-depth`, `frontier`, `joint-law`) and figures that
others have published (`published-depth`: S is Seely and Gould, arXiv 2605.31022, F is FabricPC
0.5). They are not in the count above. In `effective-depth` both claims were worded after all runs
had been seen: a power law without a constant had failed, and so had "the best β falls as 1/L" (−1.6
over four depths). The two numbers of the law are fitted without the shapes at which it is judged.
Those of `frontier` were worded after a first measurement too.
"""


class Recorded(TypedDict):
    """What was measured of a recipe.

    Attributes:
        measured: the date of the newest row, or what is known of it.
        claims: `measured`, `verdict`, `seconds`, `because` and `decides` of `Line`, by claim.
    """

    measured: str
    claims: dict[str, dict[str, Any]]


Record = dict[str, Recorded]
"""What was measured, by recipe."""

KEPT = ("measured", "verdict", "seconds", "because", "decides")


def load(path: Path = RECORD) -> Record:
    """Return what was measured before."""
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def dump(record: Record, path: Path = RECORD) -> None:
    """Store a record."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def dates(
    recipes: Iterable[Recipe],
    card: Sequence[Line],
    scale: Scale,
    ledger: "Ledger",
    data_dir: Path | None = None,
) -> dict[str, str]:
    """Return the recipes that a ledger has whole, with the date of their newest row.

    They are those with all runs, on data sets that this machine has, and with a measurement for
    every claim.
    """
    import pandas as pd

    found = {}
    for recipe in recipes:
        if any(line.verdict == NOT_RUN for line in card if line.recipe == recipe.name):
            continue
        evidence, setting = gather(ledger, recipe.experiment(scale)), recipe.at(scale)
        absent = missing(setting, data_dir)
        wanted = {run.run_id for run in setting.runs(data_dir) if run.dataset not in absent}
        if not wanted <= set(evidence.runs["run_id"]):
            continue
        times = pd.concat([evidence.runs["recorded"], evidence.measurements["created"]]).dropna()
        if len(times):
            found[recipe.name] = f"{times.max():%Y-%m-%d}"
    return found


def updated(
    record: Mapping[str, Recorded], card: Sequence[Line], dates: Mapping[str, str]
) -> Record:
    """Return the record with the recipes of a ledger in place of their former rows.

    Args:
        record: what was measured before.
        card: lines of a ledger (`scorecard.scorecard`), of all recipes.
        dates: the recipes that the ledger has, with the date of their newest row.
    """
    found: Record = {}
    for name in dict.fromkeys(line.recipe for line in card):
        own = {line.claim: line for line in card if line.recipe == name}
        known = record.get(name)
        if name in dates or known is None:
            claims = {text: {key: getattr(line, key) for key in KEPT} for text, line in own.items()}
            found[name] = {"measured": dates.get(name, "not run"), "claims": claims}
        else:
            unknown = {"measured": "not measured", "verdict": NOT_RUN}
            claims = {text: known["claims"].get(text, unknown) for text in own}
            found[name] = {"measured": known["measured"], "claims": claims}
    return found


def recorded(recipe: Recipe, record: Mapping[str, Recorded]) -> list[Line]:
    """Return the lines of a recipe as they were recorded, with today's notes."""
    lines = []
    for claim in recipe.claims:
        kept = record[recipe.name]["claims"][claim.text]
        line = Line(
            recipe.name,
            claim.text,
            claim.source,
            claim.target,
            claim.tolerance,
            kept["measured"],
            kept["verdict"],
            kept.get("seconds"),
            kept.get("because", ""),
            decides=kept.get("decides", ""),
        )
        reading = readings(recipe.name).get(claim.text)
        if reading is not None and line.verdict not in (Verdict.REPRODUCED, NOT_RUN):
            line = replace(line, note=reading.note)
        lines.append(line)
    return lines


def page(recipes: Iterable[Recipe], record: Mapping[str, Recorded]) -> str:
    """Return the text of docs/scorecard.md."""
    lines = {recipe.name: recorded(recipe, record) for recipe in recipes}
    ours = [name for name, own in lines.items() if not any(line.of_documents for line in own)]
    documents = [line for own in lines.values() for line in own if line.of_documents]
    head = " ".join(HEAD.split()).format(counts=counts(documents))
    return (
        "\n".join(
            [
                "# Scorecard",
                "",
                _wrapped(head),
                "",
                VERDICTS,
                AFTER_VERDICTS.strip(),
                "",
                SOURCES.strip(),
                "",
                *_dates(record),
                "",
                *_tables(own for name, own in lines.items() if name not in ours),
                BEYOND.strip(),
                "",
                *_tables(lines[name] for name in ours),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _dates(record: Mapping[str, Recorded]) -> list[str]:
    """Return a table of the recipes by when they were measured."""
    by_date: dict[str, list[str]] = {}
    for name, kept in record.items():
        by_date.setdefault(kept["measured"], []).append(f"`{name}`")
    rows = [f"| {date} | {', '.join(names)} |" for date, names in sorted(by_date.items())]
    return ["| measured | recipes |", "| --- | --- |", *rows]


def _tables(cards: Iterable[list[Line]]) -> list[str]:
    """Return the section of each recipe, notes wrapped."""
    texts = [text for card in cards for text in (*as_markdown(card).splitlines(), "")]
    return [text if text.startswith(("|", "#")) else _wrapped(text) for text in texts]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)

"""The card of a data set: README.md with its metadata in front."""

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from results.publishing.croissant import cited
from results.publishing.facts import About, Facts, Published
from results.untrusted import printable
from results.vocabulary import OutcomeLabel

TAGS = ("predictive-coding", "hyperparameter-transfer", "learning-rate", "mup", "mupc", "tabular")
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
LARGEST = "1M<n<10M"


def card(facts: Facts, about: About, tables: Sequence[Published]) -> str:
    """Return the text of README.md. Texts of the ledger are escaped."""
    parts = [
        _front(facts, about, tables),
        f"# {_escaped(facts.title)}\n",
        _summary(facts),
        _use(tables, facts.runs),
        _experiments(facts),
        *(_columns(table) for table in tables),
        f"## Citation\n\n```bibtex\n{printable(cited(facts, about), keep=chr(10))}\n```\n",
    ]
    return "\n".join(parts)


def _front(facts: Facts, about: About, tables: Sequence[Published]) -> str:
    """Return the metadata in YAML, whose values are JSON, which YAML contains."""
    values: dict[str, object] = {
        "pretty_name": printable(facts.title),
        "license": about.license or "unknown",
        "language": ["en"],
        "tags": list(TAGS),
        "size_categories": [
            next((name for most, name in SIZES.items() if len(facts.runs) < most), LARGEST)
        ],
        "configs": [
            {"config_name": table.name, "data_files": table.file}
            | ({"default": True} if table.name == "runs" else {})
            for table in tables
        ],
    }
    lines = (f"{name}: {json.dumps(value)}" for name, value in values.items())
    return "\n".join(["---", *lines, "---\n"])


def _summary(facts: Facts) -> str:
    runs = facts.runs
    outcomes = ", ".join(
        f"{count:,} {label.text}"
        for label in OutcomeLabel
        if (count := int((runs["outcome"] == label).sum()))
    )
    shapes = len(runs[["width", "depth"]].drop_duplicates())
    return (
        f"Every row of `runs` is one training, at one choice of learning rates: "
        f"{len(runs):,} runs ({outcomes}) at {shapes} shapes, on "
        f"{_listed(runs['dataset'])}, with the variants {_listed(runs['variant'])}. Learning rates "
        "were tuned at a small shape and carried to larger ones; `verdicts` says whether they "
        "held.\n\nRecorded by mupc "
        f"{_listed(runs['mupc_version'])} with JAX {_listed(runs['jax_version'])} on "
        f"{_listed(runs['device'])}, until {facts.newest}. `run_id` is a hash of everything that "
        "determines a run's result.\n"
    )


def _use(tables: Sequence[Published], runs: pd.DataFrame) -> str:
    rates = "weight_lr" if runs["weight_lr"].notna().any() else "rates"
    names = ", ".join(f"`{table.name}` ({table.rows:,} rows)" for table in tables)
    return (
        f"Tables: {names}. They join on `run_id`; a run that several experiments share is there "
        "once. `schema.json` and `croissant.json` describe every column. Missing values are null, "
        "never zero.\n\n```python\nfrom datasets import load_dataset\n\n"
        'runs = load_dataset("FOLDER_OR_REPOSITORY", "runs", split="train").to_pandas()\n'
        f'print(runs.groupby(["variant", "depth", "{rates}"])["final_train_loss"].mean())\n```\n'
    )


def _experiments(facts: Facts) -> str:
    counts = facts.runs["experiment"].value_counts().sort_index()
    verdicts: Mapping[str, str] = {}
    if facts.verdicts is not None:
        verdicts = {
            str(name): ", ".join(
                f"{count} {label}" for label, count in rows["verdict"].value_counts().items()
            )
            for name, rows in facts.verdicts.groupby("experiment")
        }
    rows = [
        (f"`{_code(str(name))}`", f"{count:,}", verdicts.get(str(name), "none"))
        for name, count in counts.items()
    ]
    return "## Experiments\n\n" + _table(("experiment", "runs", "verdicts"), rows)


def _columns(table: Published) -> str:
    rows = [
        (f"`{row['name']}`", row["type"], row["unit"], _escaped(row["description"]))
        for row in table.columns.to_dict("records")
    ]
    return f"## Columns of {table.name}\n\n" + _table(("column", "type", "unit", "meaning"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _listed(values: pd.Series) -> str:
    """Return the different values of a column, in code."""
    found = sorted(str(value) for value in values.dropna().unique())
    shown = ", ".join(f"`{_code(value)}`" for value in found[:5])
    return f"{shown} and {len(found) - 5} more" if len(found) > 5 else shown or "unknown"


def _code(text: str) -> str:
    return printable(text).replace("`", "'").replace("|", "/")


def _escaped(text: str) -> str:
    """Return a text in which nothing is markup."""
    return "".join(
        f"\\{letter}" if letter in "\\`*_{}[]<>#|" else letter for letter in printable(text)
    )

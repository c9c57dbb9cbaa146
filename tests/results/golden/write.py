"""Write a golden ledger with the version of `results` that is imported; see README.md.

    python write.py FOLDER

The rows are generated from the columns of this version, so that every column of every table has a
value, a null, and values that are easily lost: NaN, infinity, -0, microseconds, other scripts.
`expected.json` holds the rows that queries must return: floats in hexadecimal, times in ISO 8601.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import results
from results.schema.tables import TABLES, VERSION

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
POINTS = 256  # of one curve, enough for a file that is compressed
FLOATS = [0.1, float("nan"), float("inf"), -0.0, 5e-324, 1e300]
TEXTS = ["plain", "", 'µ, "β" and {"json": [1]}', "多層"]

Row = dict[str, Any]


def row(table: str, number: int, **fixed: Any) -> Row:
    """Return a row with a null in every fourth column that allows it, and values elsewhere."""
    made: Row = {}
    for place, column in enumerate(TABLES[table].columns):
        if column.required or (place + number) % 4:
            choices = {
                "string": column.allowed or TEXTS,
                "int64": [number, -(2**63), 2**63 - 1, place],
                "float64": FLOATS,
                "bool": [True, False],
                "timestamp": [START + timedelta(microseconds=number)],
            }[column.type]
            made[column.name] = choices[(place + number) % len(choices)]
    return made | fixed


def run(run_id: str, number: int, **fixed: Any) -> Row:
    usual = {"experiment": "golden", "outcome": "trained", "group": None}
    usual["started"] = START + timedelta(seconds=number)
    made = row("runs", number, run_id=run_id, **(usual | fixed))
    if "recorded" in made:
        made["recorded"] = made["started"]
    return made


def curve(run_id: str, points: int) -> list[Row]:
    rows = [row("curves", n, run_id=run_id, step=10 * (n + 1)) for n in range(points)]
    return without_group(rows)


def layers(run_id: str, count: int) -> list[Row]:
    rows = [row("layers", n, run_id=run_id, layer=n + 1) for n in range(count)]
    return without_group(rows)


def without_group(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in r.items() if name != "group"} for r in rows]


def write(folder: Path) -> None:
    ledger = results.open(folder / "ledger", create=True)
    failed = run("b", 2, outcome="failed")
    retried = run("b", 3)
    first, other = run("a", 1), run("c", 5, depth=128)
    shared = run("a", 6, experiment="other")
    late = run("a", 7, started=START + timedelta(days=1))
    curves = {"a": curve("a", POINTS), "b": curve("b", 2)}
    of_a, of_b = layers("a", 9), layers("b", 3)
    ledger.append([first, failed], curves["a"], of_a)
    ledger.append([retried], curves["b"], of_b)
    ledger.compact()
    ledger.append([other, shared])
    ledger.append([late])

    verdict = {"experiment": "golden", "variant": "mupc", "width": 64}
    verdict |= {"dataset": "digits", "activation": "relu"}
    old = row("verdicts", 1, **verdict, depth=8, created=START)
    new = row("verdicts", 2, **verdict, depth=8, created=START + timedelta(days=1))
    deep = row("verdicts", 3, **verdict, depth=128, created=START)
    for each in (old, new, deep):
        if "rule" in each:
            each["rule"] = "zero_shot"
        ledger.append_verdicts([each])
    measurements = [row("measurements", n, quantity=f"q{n}", created=START) for n in range(4)]
    ledger.append_measurements(measurements)

    expected = {
        "version": VERSION,
        "columns": {name: [c.name for c in table.columns] for name, table in TABLES.items()},
        "runs": {"golden": [first, retried, other], "other": [shared]},
        "curves": curves["a"] + curves["b"],
        "layers": of_a + of_b,
        "verdicts": [new, deep],
        "all verdicts": [old, new, deep],
        "measurements": measurements,
    }
    (folder / "expected.json").write_text(json.dumps(stored(expected), ensure_ascii=False) + "\n")


def stored(value: Any) -> Any:
    """A value as JSON keeps it exactly."""
    if isinstance(value, dict):
        return {name: stored(each) for name, each in value.items()}
    if isinstance(value, list):
        return [stored(each) for each in value]
    if isinstance(value, float):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""SQL over a ledger against the same questions asked of pandas."""

from pathlib import Path

import pandas as pd
import pytest
from ledger_rows import curve_rows, later, layer_rows, run_row, verdict_row

import results
from results import Ledger, LedgerError


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = results.open(tmp_path_factory.mktemp("ledger"), create=True)
    for depth in (8, 16, 128):
        names = [f"{depth}-{seed}" for seed in range(3)]
        runs = [
            run_row(name, depth=depth, seed=k, variant="mupc", test_accuracy=(depth + k) / 200)
            for k, name in enumerate(names)
        ]
        layers = [row for name in names for row in layer_rows(name, 0.5, 0.25)]
        ledger.append(runs, curve_rows(names[0]), layers)
    ledger.append([run_row("8-0", experiment="two", depth=8, seed=0, test_accuracy=8 / 200)])
    ledger.append([run_row("failed", depth=8, outcome="failed", variant="sp")])
    for seconds, verdict in ((0, "drifted"), (1, "held")):
        ledger.append_verdicts([verdict_row(verdict=verdict, created=later(seconds))])
    return ledger


def test_groups_like_pandas(ledger: Ledger) -> None:
    found = ledger.sql(
        "select depth, avg(test_accuracy) as accuracy, count(*) as runs from runs "
        "where variant = 'mupc' group by depth order by depth"
    )
    runs = ledger.runs(variant="mupc").groupby("depth")["test_accuracy"]
    expected = pd.DataFrame({"accuracy": runs.mean(), "runs": runs.size()}).reset_index()
    pd.testing.assert_frame_equal(found, expected)


def test_tables_are_those_of_the_queries(ledger: Ledger) -> None:
    """No repetitions, and the newest verdicts of a target only."""
    for name in ("runs", "curves", "layers", "verdicts", "measurements"):
        found, expected = ledger.sql(f"select * from {name}"), getattr(ledger, name)()
        assert list(found.columns) == list(expected.columns)
        assert len(found) == len(expected)
    assert ledger.sql("select verdict from verdicts")["verdict"].to_list() == ["held"]


def test_joins_curves_to_their_runs(ledger: Ledger) -> None:
    found = ledger.sql(
        "with deep as (select run_id, depth from runs where depth > 8) "
        "select depth, max(step) from deep join curves using (run_id) group by all order by 1"
    )
    assert found.to_numpy().tolist() == [[16, 30], [128, 30]]
    natural = ledger.sql("select count(*) from layers natural join (select run_id from runs)")
    assert natural.iloc[0, 0] == len(ledger.layers())


def test_repeated_names_are_numbered(ledger: Ledger) -> None:
    found = ledger.sql("select 1 as a, 2 as a, 3 as a_1, 4 as a")
    assert found.to_dict("list") == {"a": [1], "a_2": [2], "a_1": [3], "a_3": [4]}
    assert ledger.sql("select * from runs join curves using (run_id)").columns.is_unique


def test_reads_only_the_columns_that_a_query_names(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    read = results.storage.reading.Reader.read

    def recorded(self, table, filters=None, columns=None):  # type: ignore[no-untyped-def]
        asked.append(set(columns or table.named))
        return read(self, table, filters, columns)

    monkeypatch.setattr(results.storage.reading.Reader, "read", recorded)
    ledger.sql("select Depth from runs where test_accuracy > 0.1 order by seed")
    (columns,) = asked
    assert {"depth", "test_accuracy", "seed"} <= columns
    assert not {"cause", "host", "optimiser_options"} & columns


def test_types(ledger: Ledger) -> None:
    query = "select run_id, depth, started, test_accuracy from runs where variant = 'sp'"
    found = ledger.sql(query)
    assert found["test_accuracy"].isna().all()
    assert found["started"].iloc[0] == run_row()["started"]
    assert found["depth"].dtype.kind == "i"
    assert isinstance(ledger.sql(query, arrow=True)["depth"].dtype, pd.ArrowDtype)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("drop table runs", "a query must be one SELECT"),
        ("select 1; select 2", "a query must be one SELECT, got 2 statements"),
        ("selekt 1", "a query must be one SELECT: syntax error"),
        ("", "a query must be one SELECT"),
        ("select * from walks", "Table with name walks does not exist"),
        ("select dept from runs", 'Referenced column "dept" not found'),
        ("select 1 / 'a'", "Could not convert string 'a'"),
    ],
)
def test_refusals(ledger: Ledger, query: str, sentence: str) -> None:
    with pytest.raises(LedgerError, match=sentence) as caught:
        ledger.sql(query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "copy (select 1) to '{file}'",
        "attach '{file}' as other",
        "set enable_external_access = true",
        "install httpfs",
        "select getenv('HOME')",
    ],
)
def test_a_query_reads_and_writes_nothing_else(ledger: Ledger, query: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(LedgerError):
        ledger.sql(query.format(file=file))
    assert file.read_text() == "a,b\n1,2\n"


def test_variables_of_the_caller_are_no_tables(ledger: Ledger) -> None:
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(LedgerError, match="frame does not exist"):
        ledger.sql("select * from frame")
    assert len(frame) == 1

"""Appends and queries of the ledger."""

import math
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from ledger_rows import curve_rows, files, later, layer_rows, run_row, verdict_row
from matplotlib.figure import Figure

import results
from results import Ledger, LedgerError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return results.open(tmp_path / "ledger", create=True)


def ids(frame: pd.DataFrame) -> list[str]:
    return list(frame["run_id"])


def test_a_new_ledger_is_empty_and_has_all_columns(ledger: Ledger) -> None:
    for table, frame in {
        "runs": ledger.runs(),
        "curves": ledger.curves(),
        "verdicts": ledger.verdicts(),
        "measurements": ledger.measurements(),
    }.items():
        assert frame.empty
        assert list(frame.columns) == list(results.columns(table)["name"])
    assert ledger.experiments() == []
    assert ledger.check() == []
    assert ledger.compact() == 0


def test_another_ledger_object_reads_the_rows(tmp_path: Path, ledger: Ledger) -> None:
    ledger.append([run_row(depth=8)])
    assert results.open(tmp_path / "ledger").runs()["depth"].item() == 8


def test_null_and_nan_stay_distinct(ledger: Ledger) -> None:
    ledger.append(
        [
            run_row("missing", final_train_loss=None, diverged_step=None, residual=None),
            run_row("nan", final_train_loss=math.nan, diverged_step=3, residual=True),
            run_row("inf", final_train_loss=math.inf),
        ]
    )
    plain = ledger.runs().set_index("run_id")
    assert plain["final_train_loss"].isna().to_dict() == {
        "missing": True,
        "nan": True,
        "inf": False,
    }
    assert plain["diverged_step"].dtype == np.float64
    runs = ledger.runs(arrow=True).set_index("run_id")
    assert runs["final_train_loss"].isna().to_dict() == {
        "missing": True,
        "nan": False,
        "inf": False,
    }
    assert np.isnan(runs.loc["nan", "final_train_loss"])
    assert runs.loc["inf", "final_train_loss"] == math.inf
    assert runs["diverged_step"].dtype.kind == "i"  # an integer column with nulls stays one
    assert runs.loc["nan", "diverged_step"] == 3
    assert runs["residual"].isna().sum() == 2


def test_numpy_accepts_the_columns(ledger: Ledger) -> None:
    ledger.append([run_row(str(k), depth=2**k, test_accuracy=k / 4, seed=k) for k in range(4)])
    runs = ledger.runs()
    assert np.log2(runs["depth"].to_numpy()).tolist() == [0, 1, 2, 3]
    assert runs["test_accuracy"].mean() == (0 + 1 + 2 + 3) / 4 / 4
    assert np.asarray(runs["test_accuracy"]).dtype == np.float64
    assert runs["started"].dt.year.tolist() == [2026] * 4
    pivot = runs.pivot_table(index="seed", columns="depth", values="test_accuracy")
    assert pivot.to_numpy().dtype == np.float64
    Figure().add_subplot().imshow(pivot)


def test_every_query_returns_columns_of_numpy_unless_asked_for_arrow(ledger: Ledger) -> None:
    layers = [{"run_id": "a", "layer": 1, "change": 0.1}]
    ledger.append([run_row()], curve_rows(), layers)
    ledger.append_verdicts([verdict_row()])
    measured = {"quantity": "value", "value": 1.0, "created": run_row()["started"]}
    ledger.append_measurements([measured])
    for query in (
        ledger.runs, ledger.curves, ledger.layers, ledger.verdicts, ledger.measurements,
        partial(ledger.verdicts, latest=False),
    ):  # fmt: skip
        assert not any(isinstance(kind, pd.ArrowDtype) for kind in query().dtypes)
        assert any(isinstance(kind, pd.ArrowDtype) for kind in query(arrow=True).dtypes)


def test_only_trained_runs_have_final_losses(ledger: Ledger) -> None:
    """Whatever was written: a mean over a frame is of losses that training reached."""
    losses = {"final_train_loss": 3e7, "test_loss": 2e7, "min_train_loss": 5.0}
    outcomes = ("trained", "at_chance", "diverged", "failed")
    ledger.append([run_row(name, outcome=name, **losses) for name in outcomes])
    [file] = files(Path(ledger._folder.root), "runs")
    raw = pq.read_table(file).to_pandas()
    for runs in (raw, ledger.runs(), ledger.runs(["run_id", "final_train_loss", "test_loss"])):
        runs = runs.set_index("run_id")
        for column in ("final_train_loss", "test_loss"):
            assert runs[column].dropna().index.to_list() == ["trained"]
    assert raw["min_train_loss"].notna().all()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"depth": 8}, ["a", "b"]),
        ({"depth": 8.0}, ["a", "b"]),
        ({"depth": np.int64(128)}, ["c"]),
        ({"depth": [8, 128]}, ["a", "b", "c"]),
        ({"depth": (128, None)}, ["c", "d"]),
        ({"depth": range(100, 200)}, ["c"]),
        ({"depth": pd.Series([128])}, ["c"]),
        ({"depth": None}, ["d"]),
        ({"depth": pd.NA}, ["d"]),
        ({"depth": []}, []),
        ({"depth": 9}, []),
        ({"weight_lr": 0.1}, ["a", "c"]),
        ({"activity_lr": None}, ["c", "d"]),
        ({"residual": False}, ["b"]),
        ({"variant": "mupc", "depth": 8}, ["a"]),
        ({"variant": {"mupc", "sp"}, "weight_lr": [0.1, 0.2]}, ["a", "b", "c"]),
        ({"outcome": ["diverged", "failed"]}, ["c", "d"]),
        ({"final_train_loss": 0.25}, ["b"]),
        ({"final_train_loss": None}, ["c", "d"]),
        ({"min_train_loss": math.nan}, ["c"]),
        ({"min_train_loss": None}, ["a", "b", "d"]),
        ({"started": later(1)}, ["b"]),
        ({"started": later(1).astimezone()}, ["b"]),
        ({"run_id": iter(["a", "d"])}, ["a", "d"]),
    ],
)
def test_filters(ledger: Ledger, filters: dict[str, Any], expected: list[str]) -> None:
    shallow = {"depth": 8, "outcome": "trained"}
    a = run_row("a", variant="mupc", weight_lr=0.1, activity_lr=1, residual=True, **shallow)
    b = run_row("b", variant="sp", weight_lr=0.2, activity_lr=2, residual=False, **shallow)
    c = run_row("c", variant="mupc", weight_lr=0.1, depth=128, outcome="diverged")
    ledger.append([a | {"final_train_loss": 0.5}])
    ledger.append([b | {"final_train_loss": 0.25, "started": later(1)}])
    ledger.append([c | {"min_train_loss": math.nan}])
    ledger.append([run_row("d", outcome="failed")])
    assert sorted(ids(ledger.runs(**filters))) == expected


def test_selecting_columns_keeps_rows_and_order(ledger: Ledger) -> None:
    for k in range(6):
        row = run_row(f"r{k}", depth=5 - k % 3, seed=k, final_train_loss=k / 2, started=later(k))
        ledger.append([row, row | {"experiment": "two", "outcome": "diverged"}])
    for filters in ({}, {"depth": [3, 4]}, {"outcome": "diverged"}, {"final_train_loss": 0.5}):
        whole = ledger.runs(**filters)
        for names in (["run_id"], ["final_train_loss", "depth"], ["seed"]):
            pd.testing.assert_frame_equal(ledger.runs(names, **filters), whole[names])
    with pytest.raises(LedgerError, match=r"unknown column of runs 'dept'.*did you mean 'depth'"):
        ledger.runs(columns=["seed", "dept"])


def test_a_result_replaces_a_failure_but_not_vice_versa(ledger: Ledger) -> None:
    ledger.append([run_row("a", outcome="failed", cause="out of memory", started=later(0))])
    assert ledger.runs()["outcome"].item() == "failed"
    ledger.append([run_row("a", outcome="failed", cause="killed", started=later(5))])
    assert ledger.runs()["cause"].item() == "killed"
    ledger.append([run_row("a", final_train_loss=0.1, started=later(7))])
    ledger.append([run_row("a", outcome="failed", cause="again", started=later(9))])
    assert ledger.runs()["outcome"].item() == "trained"
    assert ledger.runs()["cause"].isna().all()
    # A filter for failures does not return a replaced one.
    assert ledger.runs(outcome="failed").empty


def test_the_oldest_of_two_results_counts(ledger: Ledger) -> None:
    ledger.append([run_row("a", final_train_loss=0.5, started=later(3))])
    ledger.append([run_row("a", final_train_loss=0.6, started=later(4))])
    assert ledger.runs()["final_train_loss"].item() == 0.5


def test_a_shared_run_is_returned_once_and_for_each_experiment(ledger: Ledger) -> None:
    ledger.append([run_row("a", experiment="one"), run_row("b", experiment="one")])
    ledger.append([run_row("a", experiment="two", phase="transfer")])
    assert ids(ledger.runs()) == ["a", "b"]
    assert ids(ledger.runs(experiment="two")) == ["a"]
    assert ids(ledger.runs(phase="transfer")) == ["a"]
    assert ledger.runs(run_id="a", experiment=["one", "two"]).shape[0] == 1
    assert ledger.experiments() == ["one", "two"]


def test_a_failure_in_one_experiment_does_not_hide_the_result_of_another(ledger: Ledger) -> None:
    ledger.append([run_row("a", experiment="one", outcome="failed")])
    ledger.append([run_row("a", experiment="two", started=later(9))])
    assert ledger.runs()["outcome"].item() == "trained"
    assert ledger.runs(experiment="one")["outcome"].item() == "failed"


def test_a_copied_row_has_the_curve_of_the_run(ledger: Ledger) -> None:
    ledger.append([run_row("a")], curve_rows("a"))
    row = ledger.runs(run_id="a").to_dict("records")[0]
    ledger.append([row | {"experiment": "two"}])
    ledger.append([run_row("a", experiment="three")])  # copied by hand, without its group
    for experiment in ("one", "two", "three"):
        assert list(ledger.curves(experiment=experiment)["step"]) == [10, 20, 30]


def test_returns_curves_only_with_their_run(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = ledger._publish

    def dies_before_runs(table: Any, rows: Any) -> None:
        if table.name == "runs":
            raise KeyboardInterrupt
        publish(table, rows)

    monkeypatch.setattr(ledger, "_publish", dies_before_runs)
    with pytest.raises(KeyboardInterrupt):
        ledger.append([run_row("a")], curve_rows("a", points=5, test_loss=5.0))
    monkeypatch.undo()
    assert len(files(Path(ledger._folder.root), "curves")) == 1
    assert ledger.curves().empty
    # The run is trained again; the curve of the first attempt must not mix with it.
    ledger.append([run_row("a")], curve_rows("a", points=3, test_loss=3.0))
    assert list(ledger.curves()["step"]) == [10, 20, 30]
    assert list(ledger.curves()["test_loss"]) == [3.0] * 3


def test_the_curve_belongs_to_the_row_that_counts(ledger: Ledger) -> None:
    ledger.append(
        [run_row("a", outcome="failed", cause="killed", started=later(0))],
        curve_rows("a", points=9, test_loss=9.0),
    )
    assert len(ledger.curves()) == 9
    ledger.append([run_row("a", started=later(1))], curve_rows("a", points=2, test_loss=2.0))
    ledger.append([run_row("a", started=later(2))], curve_rows("a", points=3, test_loss=3.0))
    assert list(ledger.curves()["test_loss"]) == [2.0] * 2
    assert ledger.curves(step=90).empty


def test_returns_the_layers_of_the_row_that_counts(ledger: Ledger) -> None:
    ledger.append([run_row("a", depth=8)], layers=layer_rows("a", 0.0, 0.5))
    ledger.append([run_row("a", depth=8, started=later(1))], layers=layer_rows("a", 9.0))
    ledger.append([run_row("b", depth=128)], curve_rows("b"), layer_rows("b", 1.0))
    assert list(ledger.layers()["change"]) == [0.0, 0.5, 1.0]
    assert list(ledger.layers(depth=8, layer=2)["change"]) == [0.5]
    assert ids(ledger.layers(depth=128)) == ids(ledger.curves(step=10)) == ["b"]
    with pytest.raises(LedgerError, match="a layer is of run 'c', which is not among the runs"):
        ledger.append([run_row("a")], layers=layer_rows("c", 1.0))
    with pytest.raises(LedgerError, match="two rows of layers have run_id 'a', layer 1"):
        ledger.append([run_row("a")], layers=[*layer_rows("a", 1.0), *layer_rows("a", 2.0)])


def test_filters_curves_by_columns_of_both_tables(ledger: Ledger) -> None:
    ledger.append(
        [run_row("a", depth=8), run_row("b", depth=128), run_row("c", depth=128)],
        [*curve_rows("a"), *curve_rows("b", test_accuracy=0.5), *curve_rows("c")],
    )
    curves = ledger.curves
    assert ids(curves(depth=128, step=10)) == ["b", "c"]
    assert ids(curves(depth=128, run_id=["a", "b"], step=[20, 30])) == ["b", "b"]
    assert ids(curves(test_accuracy=0.5, step=10)) == ["b"]
    assert ids(curves(train_loss=1 / 3)) == ["a", "b", "c"]
    assert curves(outcome="diverged").empty
    with pytest.raises(LedgerError, match=r"unknown column of curves or runs 'dept'.*'depth'\?"):
        curves(dept=8)


def test_each_activation_and_data_set_has_its_own_verdict(ledger: Ledger) -> None:
    others = [{"activation": "tanh"}, {"dataset": "mnist"}, {}]
    ledger.append_verdicts([verdict_row(**other) for other in others])
    assert len(ledger.verdicts()) == 3


def test_the_newest_verdict_counts(ledger: Ledger) -> None:
    ledger.append_verdicts([verdict_row(verdict="inconclusive"), verdict_row(depth=64)])
    ledger.append_verdicts([verdict_row(verdict="held", created=later(9))])
    ledger.append_verdicts([verdict_row(verdict="drifted", created=later(5))])
    assert dict(ledger.verdicts()[["depth", "verdict"]].values) == {64: "held", 128: "held"}
    # Filters do not return a replaced verdict.
    assert ledger.verdicts(verdict="drifted").empty
    assert len(ledger.verdicts(latest=False)) == 4
    assert len(ledger.verdicts(latest=False, verdict="drifted")) == 1
    assert len(ledger.verdicts(depth=64)) == 1


def test_the_newest_measurement_of_a_quantity_counts(ledger: Ledger) -> None:
    def measured(value: float, seconds: float, **others: Any) -> dict[str, Any]:
        row = {"quantity": "condition_number", "width": 8, "created": later(seconds)}
        return row | {"value": value} | others

    ledger.append_measurements([measured(1.0, 0), measured(2.0, 0, depth=4)])
    ledger.append_measurements([measured(3.0, 1), measured(4.0, 1, depth=4, seed=7)])
    assert sorted(ledger.measurements()["value"]) == [2.0, 3.0, 4.0]
    assert ledger.measurements(depth=None)["value"].item() == 3.0
    assert len(ledger.measurements(latest=False)) == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"dept": 8}, "unknown column of runs 'dept'.*did you mean 'depth'?"),
        ({"depth": "8"}, "column 'depth' of runs takes a 64-bit integer, not '8'"),
        ({"depth": 8.5}, "column 'depth' of runs takes a 64-bit integer, not 8.5"),
        ({"depth": True}, "column 'depth' of runs takes a 64-bit integer, not True"),
        (
            {"depth": 2**63},
            "column 'depth' of runs takes a 64-bit integer, not 9223372036854775808",
        ),
        ({"depth": math.inf}, "column 'depth' of runs takes a 64-bit integer, not inf"),
        ({"weight_lr": "1e-3"}, "column 'weight_lr' of runs takes a number, not '1e-3'"),
        ({"weight_lr": True}, "column 'weight_lr' of runs takes a number, not True"),
        ({"weight_lr": [0.1]}, r"column 'weight_lr' of runs takes a number, not \[0.1\]"),
        ({"residual": 1}, "column 'residual' of runs takes True or False, not 1"),
        ({"device": 3}, "column 'device' of runs takes a string, not 3"),
        ({"device": b"cpu"}, "column 'device' of runs takes a string, not b'cpu'"),
        ({"device": "\ud800"}, "column 'device' of runs takes a string, not"),
        (
            {"started": datetime(2026, 1, 1)},
            "column 'started' of runs takes a time with its time z",
        ),
        ({"started": "2026-01-01"}, "column 'started' of runs takes a time with its time zone, no"),
        ({"outcome": "diverge"}, "column 'outcome' of runs.*choose from.*did you mean 'diverged'?"),
        ({"phase": "test"}, "column 'phase' of runs.*'test': choose from tune, transfer"),
        ({"run_id": None}, "a row of runs needs a value in column 'run_id'"),
        ({"outcome": pd.NA}, "a row of runs needs a value in column 'outcome'"),
        ({"run_id": "good"}, "two rows of runs have experiment 'one', run_id 'good'"),
    ],
)
def test_rejects_an_invalid_row_and_writes_nothing(
    tmp_path: Path, ledger: Ledger, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(LedgerError, match=message) as caught:
        ledger.append([run_row("good"), run_row() | row], curve_rows("good"))
    assert "\n" not in str(caught.value)
    assert ledger.runs().empty
    assert [path.name for path in (tmp_path / "ledger").iterdir()] == ["mupc-ledger.json"]


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        (curve_rows("b"), "a curve is of run 'b', which is not among the runs"),
        ([*curve_rows("a"), *curve_rows("a")], "two rows of curves have run_id 'a', step 10"),
        ([{"run_id": "a"}], "a row of curves needs a value in column 'step'"),
    ],
)
def test_rejects_an_invalid_curve(
    ledger: Ledger, curves: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(LedgerError, match=message):
        ledger.append([run_row("a")], curves)
    assert ledger.runs().empty


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"dept": 8}, r"unknown column of runs 'dept': choose from run_id.*did you mean 'depth'\?"),
        ({"depth": "8"}, "column 'depth' of runs takes a 64-bit integer, not '8'"),
        ({"depth": [8, "x"]}, "column 'depth' of runs takes a 64-bit integer, not 'x'"),
        (
            {"depth": {"above": 8}},
            "column 'depth' of runs takes a 64-bit integer, not {'above': 8}",
        ),
        ({"outcome": "ok"}, "unknown value of column 'outcome' of runs: 'ok': choose from trained"),
        ({"started": datetime(2026, 1, 1)}, "column 'started' of runs takes a time with"),
    ],
)
def test_rejects_an_invalid_filter(ledger: Ledger, filters: dict[str, Any], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        ledger.runs(**filters)


def test_times_are_converted_to_utc(ledger: Ledger) -> None:
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    ledger.append([run_row("a", started=pd.Timestamp(moment).tz_convert("Asia/Tokyo"))])
    assert ledger.runs()["started"].item() == moment


def test_copies_a_ledger_into_another(tmp_path: Path, ledger: Ledger) -> None:
    ledger.append([run_row("a", started=later(1)), run_row("b")], curve_rows("a"))
    other = results.open(tmp_path / "other", create=True)
    other.append(*(frame.to_dict("records") for frame in (ledger.runs(), ledger.curves())))
    pd.testing.assert_frame_equal(other.runs(), ledger.runs())
    pd.testing.assert_frame_equal(other.curves(), ledger.curves())

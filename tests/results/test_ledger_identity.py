"""Rows that contradict their run id or cannot be true are left out of queries, named, moved."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_rows import later
from synthetic_ledger import id_of, run

import results
from results import DamagedFileWarning, Ledger
from results.schema.tables import TABLES
from results.storage.proof import SETTINGS, contradictory, ids
from results.storage.rows import to_arrow

RUNS = TABLES["runs"]


def forged(**changes: Any) -> dict[str, Any]:
    """Return the row of a run with changes that its id does not know of."""
    return run() | changes


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return results.open(tmp_path / "l", create=True)


FORGERIES = {
    "other width": {"width": 64},
    "other rate": {"weight_lr": 0.2},
    "other seed": {"seed": 1},
    "other data": {"dataset_digest": "0" * 64},
    "other conventions": {"conventions": 2},
    "a bias": {"bias": True},
    "no steps": {"steps": None},
    "no inference": {"inference": None, "inference_steps": None},
    "loss is missing": {"final_train_loss": None},
    "loss is NaN": {"final_train_loss": float("nan")},
    "loss is inf": {"final_train_loss": float("inf")},
    "loss is -inf": {"final_train_loss": float("-inf")},
    "loss is -5": {"final_train_loss": -5.0},
    "accuracy is 7": {"test_accuracy": 7.0},
}


@pytest.mark.parametrize("changes", FORGERIES.values(), ids=FORGERIES)
def test_a_row_that_cannot_be_true_is_left_out_and_named(
    ledger: Ledger, changes: dict[str, Any]
) -> None:
    true = run(seed=2)
    ledger.append([true])
    ledger.append([forged(**changes)])
    with pytest.warns(DamagedFileWarning, match=r"left out 1 row of runs .* cannot be true"):
        assert list(ledger.runs()["run_id"]) == [true["run_id"]]
    [damage] = ledger.check()
    assert damage.path.startswith("runs/")
    assert "1 of its 1 rows cannot be true and are left out" in damage.cause
    assert run()["run_id"] in damage.cause


def test_the_true_row_counts_though_a_forged_one_is_older(ledger: Ledger) -> None:
    """Also after compaction and quarantine, and though both are in one file."""
    ledger.append([forged(width=64, final_train_loss=0.001, experiment="forged")])
    others = [run(seed=seed) for seed in (1, 2)]
    ledger.append([*others, forged(width=64, final_train_loss=0.002)])
    ledger.append([run() | {"started": later(10**6)}])

    def losses() -> list[float]:
        return ledger.runs()["final_train_loss"].tolist()

    with pytest.warns(DamagedFileWarning, match="left out 2 rows"):
        assert losses() == [0.1] * 3
    ledger.compact()
    with pytest.warns(DamagedFileWarning, match="left out 2 rows"):
        assert losses() == [0.1] * 3
    assert len(ledger.quarantine()) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert losses() == [0.1] * 3
        assert ledger.check() == []
        ledger.compact()
        assert losses() == [0.1] * 3


def test_rows_that_claim_nothing_are_accepted(ledger: Ledger) -> None:
    """Ids that mupc does not give, and rows of any version that lack the digest of their data."""
    rows = [forged(width=64, run_id="a"), forged(width=64, dataset_digest=None)]
    rows += [forged(width=64, run_id=run()["run_id"] + "0")]
    ledger.append(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ledger.runs()) == 3
        assert ledger.check() == []


SEVERAL = [
    run(seed=seed, weight_lr=eta, activity_lr=beta, depth=depth, bias=bias, variant=variant)
    for seed, (eta, beta, depth, bias, variant) in enumerate(
        [
            (0.1, 0.5, 8, None, "mupc"),
            (1e-4, None, 8, True, "bp"),
            (1 / 3, 1e300, 128, None, "sp"),
            (5e-324, 2.0, 8, True, "mupc"),
        ]
    )
]
IDENTITY_COLUMNS = sorted(set(SETTINGS) - {"dataset_digest"})


def test_ids_of_many_rows_are_those_of_each() -> None:
    rows = to_arrow(RUNS, SEVERAL * 3)
    assert ids(rows).to_pylist() == [id_of(row) for row in SEVERAL * 3]
    assert not any(contradictory(rows).to_pylist())


def test_whole_numbers_as_rates_keep_their_ids() -> None:
    """Such a rate is an integer in the id of its run, and a float in the file."""
    rows = [run(weight_lr=eta, activity_lr=beta) for eta in (1, 1.0) for beta in (3, 3.0)]
    assert len({row["run_id"] for row in rows}) == 4
    assert not any(contradictory(to_arrow(RUNS, rows)).to_pylist())
    rows[0]["weight_lr"] = 2
    assert contradictory(to_arrow(RUNS, rows)).to_pylist() == [True, False, False, False]


@settings(max_examples=50)
@given(st.data())
def test_no_change_of_a_setting_keeps_the_id(data: st.DataObject) -> None:
    row = dict(data.draw(st.sampled_from(SEVERAL)))
    name = data.draw(st.sampled_from(IDENTITY_COLUMNS))
    kinds = {
        "string": st.text(max_size=4),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "float64": st.floats(),
        "bool": st.booleans(),
    }
    value = data.draw(st.none() | kinds[SETTINGS[name].type])
    changed = row | {name: value}
    [wrong] = contradictory(to_arrow(RUNS, [changed])).to_pylist()
    assert wrong == (value != row.get(name))


def test_check_names_checkpoints_that_nobody_continues_from(ledger: Ledger, tmp_path: Path) -> None:
    for run_ids in (["a"], ["b"], ["c"], ["d"]):
        ledger.checkpoints.save(run_ids, b"data of " + run_ids[0].encode())
    places = {
        json.loads(path.read_bytes().partition(b"\n")[0])["run_ids"][0]: path
        for path in (tmp_path / "l" / "checkpoints").iterdir()
    }
    places["a"].write_bytes(places["b"].read_bytes())
    places["c"].write_bytes(places["c"].read_bytes() + b"more")
    found = {damage.path.split("/")[1]: damage.cause for damage in ledger.check()}
    assert set(found) == {places["a"].name, places["c"].name}
    assert "of another group" in found[places["a"].name]
    for run_ids in (["a"], ["c"]):
        with pytest.warns(DamagedFileWarning, match="its runs start again"):
            assert ledger.checkpoints.load(run_ids) is None
    assert len(ledger.quarantine()) == 2
    assert ledger.check() == []
    assert ledger.checkpoints.load(["b"]) == b"data of b"

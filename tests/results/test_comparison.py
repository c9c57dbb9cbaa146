"""What differs between two experiments of a ledger."""

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import later, verdict_row

import results
from results import Ledger, LedgerError


def judged(name: str, spec: dict[str, Any], **others: Any) -> dict[str, Any]:
    return verdict_row(experiment=name, spec=json.dumps({"name": name, **spec}), **others)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = results.open(tmp_path, create=True)
    spec = {"dataset": "digits", "tune": {"width": 8, "seeds": 3}}
    other = {"dataset": "digits", "tune": {"width": 16, "seeds": 3}, "network": {"bias": True}}
    older = judged("one", {"dataset": "mnist"}, verdict="drifted")
    ledger.append_verdicts([older])
    ledger.append_verdicts(
        [
            judged("one", spec, depth=128, regret=0.01, created=later(1)),
            judged("two", other, depth=128, regret=0.5, verdict="drifted", created=later(1)),
            judged("two", other, depth=64, regret=0.0, created=later(1)),
        ]
    )
    return ledger


def test_settings_that_differ(ledger: Ledger) -> None:
    found = ledger.compare("one", "two")
    assert found.names == ("one", "two")
    rows = found.settings.astype(object).where(found.settings.notna(), None)
    assert rows.to_dict("records") == [
        {"setting": "tune.width", "one": 8, "two": 16},
        {"setting": "network.bias", "one": None, "two": True},
    ]


def test_verdicts_side_by_side(ledger: Ledger) -> None:
    found = ledger.compare("one", "two").verdicts.set_index("depth")
    assert found.loc[128, ["verdict_1", "verdict_2"]].to_list() == ["held", "drifted"]
    assert found.loc[128, ["regret_1", "regret_2"]].to_list() == [0.01, 0.5]
    assert found.loc[64].isna()["verdict_1"]
    assert found.loc[64, "verdict_2"] == "held"


def test_an_experiment_does_not_differ_from_itself(ledger: Ledger) -> None:
    found = ledger.compare("two", "two")
    assert found.settings.empty
    assert (found.verdicts["verdict_1"] == found.verdicts["verdict_2"]).all()


def test_names_the_experiments_that_there_are(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="'tow': choose from one, two; did you mean 'two'"):
        ledger.compare("one", "tow")

"""`transfer.seeds: auto`: seeds at a target until its verdict is decided, and no more."""

import contextlib
import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from fewer import cases
from transfer_fakes import FormulaPool, Killed, MemoryLedger, spec

from pccore import TrainingConfig
from transfer import Cell, Experiment, SpecError, run
from transfer.engine.result import TransferResult

DEPTH = 4
SPEC = spec(
    tune={"weight_lr": [0.01, 0.03, 0.1, 0.3, 1], "activity_lr": [1, 3, 10, 30, 100], "seeds": 3},
    transfer={"depths": [DEPTH], "seeds": "auto"},
)


def noisy(config: TrainingConfig, cell: Cell, seed: int, noise: float = 0.05) -> float:
    """Return a noisy parabola; at the target, eta 0.3 is better than the tuned 0.1 by 10 %.

    That is the tolerance, so that two seeds do not decide.
    """
    eta, beta = math.log10(cell.weight_lr / 0.1), math.log10((cell.activity_lr or 10) / 10)
    if config.network.depth == DEPTH:
        eta = 0.0 if cell.weight_lr == 0.3 else 0.31 if cell.weight_lr == 0.1 else 1 + abs(eta)
    draw = np.random.default_rng([seed, config.network.depth, *str(cell).encode()])
    return math.exp(eta**2 + beta**2 + noise * draw.normal())


def quiet(config: TrainingConfig, cell: Cell, seed: int) -> float:
    """Return the same without noise, at the target too with its optimum at the tuned one."""
    eta, beta = math.log10(cell.weight_lr / 0.1), math.log10((cell.activity_lr or 10) / 10)
    return math.exp(eta**2 + beta**2 + 1e-4 * seed)


def go(
    ledger: MemoryLedger, response: Any = noisy, values: dict[str, Any] = SPEC, **pool: Any
) -> tuple[TransferResult, FormulaPool]:
    formula = FormulaPool(response, **pool)
    return run(Experiment.from_dict(values), ledger, formula), formula


def at_target(ledger: MemoryLedger) -> Counter[tuple[float, float]]:
    rows = [row for row in ledger.appended if row["depth"] == DEPTH]
    return Counter((row["weight_lr"], row["activity_lr"]) for row in rows)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[TransferResult, MemoryLedger]:
    ledger = MemoryLedger()
    return go(ledger)[0], ledger


def test_two_seeds_of_every_neighbour_decide_a_clear_case() -> None:
    ledger = MemoryLedger()
    result, _ = go(ledger, quiet)
    (row,) = result.verdicts
    assert row["verdict"] == "held"
    assert at_target(ledger) == dict.fromkeys(
        [(eta, beta) for eta in (0.03, 0.1, 0.3) for beta in (3, 10, 30)], 2
    )
    assert (row["seeds"], row["seeds_added"], json.loads(row["added"])) == (2, 0, [])
    assert row["seeds_needed"] is None


def test_cells_that_decide_get_seeds(undisturbed: tuple[TransferResult, MemoryLedger]) -> None:
    """The tuned optimum and its rival get seeds; the others, worse by a factor, keep two."""
    result, ledger = undisturbed
    (row,), counts = result.verdicts, at_target(ledger)
    assert counts[0.1, 10] > 2
    assert counts[0.3, 10] > 2
    assert max(counts.values()) <= 12
    assert counts[0.03, 3] == 2
    added = json.loads(row["added"])
    assert row["seeds_added"] == sum(each["seeds"] for each in added) == sum(counts.values()) - 18
    whys = {(each["rates"]["weight_lr"], each["why"]) for each in added}
    assert (0.1, "transferred") in whys
    assert whys & {(0.3, "best"), (0.3, "better")}
    assert row["seeds"] == counts[0.1, 10]
    if row["verdict"] == "inconclusive":
        assert row["seeds"] == 12


def test_a_cell_gets_its_seeds_in_order(undisturbed: tuple[TransferResult, MemoryLedger]) -> None:
    _, ledger = undisturbed
    counts = at_target(ledger)
    for (eta, beta), count in counts.items():
        seeds = sorted(
            row["seed"]
            for row in ledger.appended
            if (row["depth"], row["weight_lr"], row["activity_lr"]) == (DEPTH, eta, beta)
        )
        assert seeds == list(range(count))


@pytest.mark.parametrize("groups", cases([9, 30, 36, 1, 25, 33], 3))
def test_a_killed_job_asks_for_the_same_runs(
    groups: int, undisturbed: tuple[TransferResult, MemoryLedger]
) -> None:
    whole, expected = undisturbed
    ledger = MemoryLedger()
    with contextlib.suppress(Killed):
        go(ledger, results=groups)
    result, _ = go(ledger, slots=3, lanes=2)
    runs = [row["run_id"] for row in ledger.appended]
    assert len(runs) == len(set(runs))
    assert set(runs) == {row["run_id"] for row in expected.appended}
    for ours, theirs in zip(result.verdicts, whole.verdicts, strict=True):
        assert {**ours, "created": None} == {**theirs, "created": None}


def test_a_number_of_seeds_at_the_target_leaves_run_ids() -> None:
    """Fewer seeds than in the search are the first of these; more come after them."""
    runs = {}
    for seeds in (None, 2, 5):
        transfer = {"depths": [DEPTH]} | ({} if seeds is None else {"seeds": seeds})
        ledger = MemoryLedger()
        result, _ = go(ledger, quiet, SPEC | {"transfer": transfer})
        runs[seeds] = {row["run_id"] for row in ledger.appended if row["depth"] == DEPTH}
        assert result.verdicts[0]["seeds_added"] is None
    assert {key: len(ids) for key, ids in runs.items()} == {None: 27, 2: 18, 5: 45}
    assert runs[2] < runs[None] < runs[5]


def test_rules_share_the_seeds_that_each_asks_for() -> None:
    rules = ["zero_shot", {"rule": "exponents", "weight_lr": {"depth": 1.0}}]
    ledger = MemoryLedger()
    result, _ = go(ledger, noisy, SPEC | {"transfer": SPEC["transfer"] | {"rules": rules}})
    one, other = result.verdicts
    counts = at_target(ledger)
    assert {one["seeds_added"], other["seeds_added"]} == {sum(counts.values()) - 2 * len(counts)}
    for row in (one, other):
        assert row["seeds"] == counts[row["weight_lr"], row["activity_lr"]]


def test_one_seed_of_the_search_decides_nothing() -> None:
    with pytest.raises(SpecError, match=r"transfer\.seeds must be a number"):
        Experiment.from_dict(spec(tune={"seeds": 1}, transfer={"seeds": "auto"}))

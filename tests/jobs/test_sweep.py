"""Sweeps of any training function: on both pools, killed, continued; what goes wrong is named."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import MUPC, mupc, start
from fewer import ray_later
from pool_trainers import PATIENCE, MakePool, wait_for
from ray_nodes import Nodes, ray_nodes
from sweep_functions import BATCH, DECAY, LR, quadratic, unruly

import mupc as mupc_package
import results
import transfer

GRIDS = {
    "lr": [0.0125, 0.025, 0.05, 0.1, 0.2],
    "decay": [0.005, 0.01, 0.02],
    "batch_size": [16, 32, 64],
}


def sweep(pool: Any, ledger: Path, *names: str, **options: Any) -> transfer.TransferResult:
    usual: dict[str, Any] = {"small": (8, 4), "targets": (8, 79), "seeds": 2}
    usual["rule"] = ["zero_shot", "depth_mup"]
    grid = {name: GRIDS[name] for name in names}
    return mupc_package.sweep(quadratic, grid, ledger=ledger, pool=pool, **(usual | options))


@ray_later
def test_verdicts_on_a_landscape_known_in_closed_form(make_pool: MakePool, tmp_path: Path) -> None:
    """The optimum moves by two octaves from 5 to 80 layers: exp(0.8) - 1 = 123 % above the best."""
    pool = make_pool()
    result = sweep(pool, tmp_path / "runs", "lr")
    rows = {row["rule"]: {**row, **json.loads(row["rates"])} for row in result.verdicts}
    assert {rule: row["verdict"] for rule, row in rows.items()} == {
        "zero_shot": "drifted",
        "depth_mup": "held",
    }
    assert rows["zero_shot"]["lr"] == LR
    assert rows["depth_mup"]["lr"] == LR / 4
    assert rows["depth_mup"]["best_lr"] == LR / 4
    assert rows["depth_mup"]["lr_depth_exponent"] == -0.5
    assert rows["zero_shot"]["regret"] == pytest.approx(0.8, abs=0.05)
    assert -2.4 < rows["zero_shot"]["drift_lr_low"] < -2 < rows["zero_shot"]["drift_lr_high"] < -1.6
    assert "lr 0.025" in result.summary
    assert "weight_lr" not in str(result)
    ledger = result.ledger
    assert ledger is not None
    assert ledger.check() == []
    curve = ledger.curves(run_id=ledger.runs(lr=LR, depth=4)["run_id"].iloc[0])
    assert curve["train_loss"].tolist() == pytest.approx([4 * 0.2, 2 * 0.2, 0.2], rel=0.05)
    assert curve["test_loss"].isna().all()
    before = len(ledger.runs())
    again = sweep(pool, tmp_path / "runs", "lr")
    assert [row["verdict"] for row in again.verdicts] == [row["verdict"] for row in result.verdicts]
    assert len(ledger.runs()) == before


def test_a_fitted_law_finds_the_exponent(tmp_path: Path, local_pool: Any) -> None:
    law = {"rule": "fitted", "depths": [9, 19]}
    result = sweep(local_pool, tmp_path / "runs", "lr", rule=law, targets=(8, 39))
    (row,) = ({**row, **json.loads(row["rates"])} for row in result.verdicts)
    assert row["verdict"] == "held", row["reason"]
    assert row["lr_depth_exponent_low"] < -0.5 < row["lr_depth_exponent_high"]
    assert row["lr_depth_exponent"] == pytest.approx(-0.5, abs=0.15)
    measured = result.ledger.measurements(quantity=["optimal_lr", "law_lr"])  # type: ignore[union-attr]
    assert set(measured["depth"]) == {4, 9, 19, 39}


@pytest.fixture(scope="module")
def local_pool() -> Iterator[mupc_package.LocalPool]:
    with mupc_package.LocalPool() as pool:
        yield pool


@pytest.fixture(scope="module")
def three(
    tmp_path_factory: pytest.TempPathFactory, local_pool: mupc_package.LocalPool
) -> transfer.TransferResult:
    """A sweep over three rates."""
    return sweep(
        local_pool, tmp_path_factory.mktemp("three") / "runs", "lr", "decay", "batch_size",
        targets=[(8, 19)], rule={"lr": "depth_mup", "decay": "zero_shot"},
    )  # fmt: skip


def test_every_key_of_a_spec_is_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiment is that of the spec with the same keys."""
    made: list[Any] = []
    monkeypatch.setattr(transfer, "run", lambda experiment, *_, **__: made.append(experiment))
    search: dict[str, Any] = {"seeds": 3, "extend": 2, "prune": "seeds"}
    sweep(None, tmp_path, "lr", target_seeds="auto", budget={"runs": 90}, **search)
    sampled = {"sampler": "random", "trials": 9, "in_flight": 4}
    sweep(None, tmp_path, "lr", **sampled)
    grid = {"width": 8, "depth": 4, "rates": {"lr": GRIDS["lr"]}}
    target = {"targets": [{"width": 8, "depth": 79}], "rules": ["zero_shot", "depth_mup"]}
    common = {"name": "quadratic", "train": quadratic}
    assert made == [
        mupc_package.Sweep.from_dict(
            {
                **common,
                "tune": grid | search,
                "transfer": target | {"seeds": "auto"},
                "budget": {"runs": 90},
            }
        ),
        mupc_package.Sweep.from_dict(
            {**common, "tune": grid | sampled | {"seeds": 2}, "transfer": target}
        ),
    ]
    assert mupc_package.Sweep.from_dict(made[0].to_dict()) == made[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prune": "halving"}, "tune.prune must be seeds for a training function, whose calls"),
        ({"prune": "seed"}, "did you mean 'seeds'"),
        ({"extend": -1}, "tune.extend must be"),
        ({"target_seeds": "all"}, "transfer.seeds must be"),
        ({"target_seeds": "auto", "seeds": 1}, "transfer.seeds must be a number where tune.seeds"),
        ({"budget": {"operations": 1e9}}, "budget.operations must be left out, as the operations"),
        ({"budget": {}}, "budget must have operations, hours or runs, got none of them"),
        ({"in_flight": 2}, "tune.in_flight must be left out, as sampler grid tries every cell"),
    ],
)
def test_bad_options_have_the_sentences_of_the_spec(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(transfer.SpecError) as error:
        sweep(None, tmp_path, "lr", **options)
    assert sentence in str(error.value)


def test_seeds_grow_only_where_the_best_may_be(tmp_path: Path, local_pool: Any) -> None:
    """Neighbours are an octave apart and 4 % worse, and all else 22 %; seeds differ by 1 %."""
    rates = {"seeds": 3, "targets": (8, 4), "rule": "zero_shot"}
    full = sweep(local_pool, tmp_path / "full", "lr", **rates)
    grown = sweep(local_pool, tmp_path / "grown", "lr", prune="seeds", **rates)
    assert grown.optima["quadratic"].cell == full.optima["quadratic"].cell
    runs = results.open(tmp_path / "grown").runs(phase="tune")
    counts = runs.groupby("lr").size()
    assert counts[0.0125] == 1
    assert counts.max() == 3
    assert len(runs) < 5 * 3


def test_three_rates_are_judged_and_have_columns(three: transfer.TransferResult) -> None:
    (row,) = three.verdicts
    assert (row["verdict"], row["rule"]) == ("held", "lr: depth_mup"), row["reason"]
    ledger = three.ledger
    assert ledger is not None
    (verdict,) = ledger.verdicts().to_dict("records")
    assert (verdict["lr"], verdict["decay"], verdict["batch_size"]) == (LR / 2, DECAY, BATCH)
    assert abs(verdict["drift_lr"] + 1) < 0.4
    runs = ledger.runs(["lr", "decay", "batch_size", "seed", "final_train_loss"], decay=DECAY)
    assert set(runs["decay"]) == {DECAY}
    assert set(runs["batch_size"]) <= {16, 32, 64}
    assert len(ledger.runs(lr=[0.1, 0.2], batch_size=[32], phase="tune")) == 2 * 3 * 2
    best = ledger.sql(
        "select cast(rates->>'$.lr' as double) as lr, min(final_train_loss) from runs "
        "where depth = 4 group by 1 order by 2 limit 1"
    )
    assert best["lr"].tolist() == [LR]
    with pytest.raises(results.LedgerError, match="differ in 3 rates"):
        ledger.landscape("quadratic", 4)
    table = ledger.landscape("quadratic", 4, batch_size=BATCH)
    assert table.shape == (5, 3)
    assert np.unravel_index(table.to_numpy().argmin(), table.shape) == (3, 1)
    axes = results.plot_landscape(table)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("decay", "lr")
    with pytest.raises(results.LedgerError, match="unknown column of runs 'lrr'"):
        ledger.runs(lrr=0.1)


def test_rows_of_a_frame_can_be_appended_again(three: transfer.TransferResult) -> None:
    """A rate fills the column of its name in frames, and no column in files."""
    ledger = three.ledger
    assert ledger is not None
    rows = ledger.runs(phase="tune", arrow=True).to_dict("records")[:2]
    ledger.append([{**row, "experiment": "copy"} for row in rows])
    copies = ledger.runs(experiment="copy")
    assert copies[["lr", "batch_size"]].to_numpy().tolist() == [
        [row["lr"], row["batch_size"]] for row in rows
    ]
    assert ledger.check() == []


def test_the_report_shows_slices_and_names(three: transfer.TransferResult, tmp_path: Path) -> None:
    ledger = three.ledger
    assert ledger is not None
    page = results.report(ledger, tmp_path, "quadratic").read_text()
    drawn = {path.name.removesuffix(".png") for path in tmp_path.glob("*landscape*.png")}
    pairs = ("batch_size-decay", "batch_size-lr", "decay-lr")
    assert drawn == {f"quadratic-landscape-1-quadratic-{pair}" for pair in pairs}
    text = re.sub(r"<[^>]+>", " ", page)
    assert "training function quadratic@" in text
    assert "A slice through the best cell of each shape" in text
    for words in ("drift of lr, octaves", "lr = 0.05", "batch_size = 32", "lr ∝ L^−0.50"):
        assert words in text
    assert not re.search(r"activation|η|β", text.replace("activity", ""))


@ray_later
def test_functions_are_compared_by_name(make_pool: MakePool, tmp_path: Path) -> None:
    """One of them is inside of a test, and so pickled by value."""

    def worse(shape: Any, rates: Any, seed: Any) -> float:
        return 2 * quadratic(shape, rates, seed)[-1]

    result = mupc_package.sweep(
        {"good": quadratic, "bad": worse},
        {"lr": [0.05, 0.1, 0.2]},
        small={"depth": 4},
        targets=[4],
        seeds=1,
        ledger=tmp_path / "runs",
        pool=make_pool(),
    )
    good, bad = (result.optima[name] for name in ("good", "bad"))
    assert good.cell == bad.cell == transfer.Cell(lr=LR)
    assert bad.loss == pytest.approx(2 * (good.loss or 0))
    with pytest.raises(results.LedgerError, match="whose networks mupc does not keep"):
        result.network("good", depth=4)
    (run_id, *_) = result.ledger.runs()["run_id"]  # type: ignore[union-attr]
    with pytest.raises(results.LedgerError, match=r"training function .*, which only you can call"):
        result.ledger.rebuild(run_id)  # type: ignore[union-attr]


ENDS = {
    1: ("trained", None),
    2: ("trained", None),
    3: ("diverged", None),
    4: ("failed", "unruly returned None: return the final loss as a number, the curve as a list"),
    5: ("failed", r"KeyError: 'absent' \(sweep_functions.py, line \d+\)"),
    6: ("failed", r"SystemExit: 3 \(sweep_functions.py, line \d+\)"),
    7: ("failed", "its process ended: status 7"),
    8: ("failed", r"its process ended: SIGKILL \(killed, perhaps for its memory\)"),
    9: ("failed", "unruly returned an object of type random.Random: return the final loss"),
    10: ("failed", "its worker sent an outcome that cannot be: final_train_loss of a run that"),
    11: ("trained", None),
}


@ray_later
def test_every_way_to_end_is_named_and_the_sweep_goes_on(
    make_pool: MakePool, tmp_path: Path
) -> None:
    result = mupc_package.sweep(
        unruly, {"way": list(ENDS)}, small=(1, 1), targets=(1, 2), seeds=1, neighbourhood=0,
        ledger=tmp_path / "runs", pool=make_pool(),
    )  # fmt: skip
    assert result.optima["unruly"].cell == transfer.Cell(way=2.0)
    runs = result.ledger.runs(phase="tune").set_index("way")  # type: ignore[union-attr]
    for way, (outcome, cause) in ENDS.items():
        row = runs.loc[way]
        assert row["outcome"] == outcome, row["cause"]
        if cause is not None:
            assert re.match(cause, row["cause"]), row["cause"]
    assert runs.loc[11, "test_accuracy"] == 0.5
    assert result.ledger.check() == []  # type: ignore[union-attr]


def test_other_samplers_search_ranges_of_any_rates(tmp_path: Path, local_pool: Any) -> None:
    result = mupc_package.sweep(
        quadratic,
        {"lr": {"low": 0.01, "high": 1.0}, "batch_size": {"low": 8, "high": 128}},
        small=(8, 4), targets=(8, 9), seeds=1, sampler="tpe", trials=12, neighbourhood=0,
        ledger=tmp_path / "runs", pool=local_pool,
    )  # fmt: skip
    runs = result.ledger.runs(phase="tune")  # type: ignore[union-attr]
    assert len(runs) == 12
    assert (runs["batch_size"] % 1 == 0).all()
    assert runs["batch_size"].between(8, 128).all()
    page = results.report(result.ledger, tmp_path / "report")  # type: ignore[arg-type]
    assert page.exists()


MODULE = """\
import subprocess, sys, time

SECONDS = {seconds}

def train(shape, rates, seed):
    time.sleep(SECONDS)
    loss = (rates["lr"] - 0.1) ** 2 + 0.1 + 0.001 * seed
    command = [sys.executable, "-c", f"print({{loss}})"]
    done = subprocess.run(command, capture_output=True, text=True)
    return float(done.stdout)
"""
SPEC: dict[str, Any] = {
    "name": "mine",
    "train": "mine:train",
    "tune": {"width": 4, "depth": 2, "rates": {"lr": [0.05, 0.1, 0.2]}, "seeds": 2},
    "transfer": {"depths": [5]},
}
RUNS = 2 * 3 * 2


def write(folder: Path, seconds: float) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MODULE.format(seconds=seconds))
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC))


def children() -> list[int]:
    """Return the ids of all processes that call functions on this machine."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"jobs.pools.function_child" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def descendants(process: int) -> list[int]:
    """Return the processes of functions that a process has started."""
    return [child for child in children() if _parent(child) == process]


def _parent(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def test_a_killed_command_continues_and_leaves_no_process(
    tmp_path: Path, empty_reports: None
) -> None:
    write(tmp_path, 0.3)
    process = start(tmp_path, "run", "spec.yaml")

    def recorded() -> int:
        try:
            return len(results.open(tmp_path / "runs").runs())
        except results.LedgerError:
            return 0

    wait_for(lambda: recorded() >= 2 or process.poll() is not None)
    callers = descendants(process.pid)
    assert callers
    process.kill()
    process.communicate()
    wait_for(lambda: not set(callers) & set(children()))
    before = recorded()
    assert 2 <= before < RUNS
    planned = mupc(tmp_path, "plan", "spec.yaml")
    assert planned.returncode == 0, planned.stderr
    assert re.search(rf"train +4 x 2 +tune +6 +{min(before, 6)}\b", planned.stdout)
    again = mupc(tmp_path, "run", "spec.yaml")
    assert again.returncode == 0, again.stderr
    assert f"{RUNS} runs, {RUNS - before} of them trained now" in again.stdout
    assert "GFLOP" not in again.stderr
    assert "accuracy (%)" not in again.stdout  # the function returns none
    assert re.search(r"train +4 x 5 +0.1 +0.1", again.stdout)
    shown = mupc(tmp_path, "results", "--where", "lr>0.06", "--where", "phase=tune")
    assert shown.returncode == 0, shown.stderr
    head, *rows = shown.stdout.splitlines()
    assert "lr" in head.split()
    assert "weight_lr" not in head
    assert len(rows) == 4
    layouts = mupc(tmp_path, "layouts", "spec.yaml")
    assert layouts.returncode == 2
    assert "training functions has no layouts" in layouts.stderr
    compared = mupc(tmp_path, "diff", "mine", "mine")
    assert compared.returncode == 0, compared.stderr


SCRIPT = """\
import mupc

def train(shape, rates, seed):
    import time
    time.sleep(3600 if shape.depth > 2 else 0)
    return rates["lr"]

print("sweeping", flush=True)
mupc.sweep(train, {"lr": [0.1, 0.2]}, small=(4, 2), targets=(4, 5), seeds=1, ledger="runs")
"""


def test_a_script_without_a_guard_sweeps_and_stops_at_once(tmp_path: Path) -> None:
    """Ctrl-C ends a function in the middle of its work, and the processes that it is in."""
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, stderr=subprocess.PIPE)

    def tuned() -> bool:
        try:
            return len(results.open(tmp_path / "runs").runs()) == 2
        except results.LedgerError:
            return False

    wait_for(lambda: tuned() or process.poll() is not None)
    assert process.poll() is None
    callers = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert b"KeyboardInterrupt" in err
    assert not set(callers) & set(children())


GUARDED = """
import multiprocessing  # as scikit-learn and PyTorch do, which makes __mp_main__ another __main__

import mupc


def train(shape, rates, seed):
    return rates["lr"]


if __name__ == "__main__":
    mupc.sweep(train, {"lr": [0.1, 0.2]}, small=(4, 2), targets=(4, 3), seeds=1, ledger="runs")
"""


def test_a_script_that_imports_multiprocessing_loses_no_run(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(GUARDED)
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, timeout=PATIENCE)
    runs = results.open(tmp_path / "runs").runs()
    assert set(runs["outcome"]) == {"trained"}, runs["cause"].tolist()


def test_a_submitted_job_has_the_module_of_the_function(tmp_path: Path) -> None:
    from jobs.cluster import submit

    write(tmp_path / "here", 0.0)
    job = submit.prepare(tmp_path / "here" / "spec.yaml")
    assert job.files["mine.py"].decode() == MODULE.format(seconds=0.0)
    assert re.search(r"train: mine:train@[0-9a-f]{12}", job.files["spec.yaml"].decode())


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ray_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        nodes.join()
        nodes.join()
        yield nodes


@pytest.mark.slow
@pytest.mark.ray
def test_killed_sweep_on_two_nodes_continues(cluster: Nodes, tmp_path: Path) -> None:
    """Its module lies where no node looks for modules; no run is trained twice."""
    write(tmp_path / "place", 1.0)
    command = [*MUPC, "run", "place/spec.yaml", "--pool", "ray", "--address", cluster.address]
    environment = {**os.environ, **cluster.variables()}

    def ledger() -> results.Ledger:
        return results.open(tmp_path / "runs", create=True)

    first = subprocess.Popen(command, cwd=tmp_path, env=environment)
    wait_for(lambda: len(ledger().runs()) > 0 or first.poll() is not None)
    assert first.poll() is None
    first.kill()
    first.wait()
    before = set(ledger().runs()["run_id"])
    again = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    runs = ledger().runs()
    assert before <= set(runs["run_id"])
    assert runs["run_id"].is_unique
    assert set(runs["outcome"]) == {"trained"}, runs["cause"].tolist()
    assert runs["host"].notna().all()
    assert runs["pid"].nunique() >= 2
    assert f"{RUNS} runs, {RUNS - len(before)} of them trained now" in again.stdout

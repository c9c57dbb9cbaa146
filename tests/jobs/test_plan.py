"""`mupc plan`: counts equal the driver's, times equal the pool's, and nothing is written."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import TINY, called, write_spec

import pccore
from jobs.pools import calibration, estimates
from jobs.pools.calibration import calibrate, interpolated, short
from jobs.pools.estimates import Cost, Load
from jobs.pools.timing import Timing, time_training
from jobs.pools.worker import failed_group
from pccore import Lane, NetworkConfig, PredictiveCoding, TrainingConfig
from transfer import Experiment
from transfer.engine.any_plan import PlannedRuns
from transfer.engine.grouping import work
from transfer.engine.plan import Plan
from transfer.engine.pool import Group, GroupResult

RATE = 1e9  # multiply-adds a second


def config(depth: int = 2, **changes: Any) -> TrainingConfig:
    network = NetworkConfig(64, 10, width=8, depth=depth)
    rule = PredictiveCoding(pccore.GradientDescent(depth))
    return TrainingConfig(**{"network": network, "rule": rule, "steps": 60, **changes})


def group(shared: TrainingConfig | None = None, lanes: int = 2) -> Group:
    return Group("digits", None, shared or config(), (Lane(1.0, 1.0, 0),) * lanes, ("",) * lanes)


def plan_facts(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    done = called(capsys, "plan", *map(str, arguments), "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "cache"))


def test_counts_runs_operations_and_memory_without_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    facts = plan_facts(capsys, spec, "--no-calibrate", "--workers", 2)
    shapes = [(s["variant"], s["phase"], s["depth"], s["runs"]) for s in facts["shapes"]]
    assert shapes == [
        ("mupc", "tune", 2, 12),
        ("mupc", "transfer", 3, 12),
        ("bp", "tune", 2, 4),
        ("bp", "transfer", 3, 4),
    ]
    assert [shape["at_most"] for shape in facts["shapes"]] == [False, True] * 2
    tune = facts["shapes"][0]
    assert (tune["groups"], tune["lanes"], tune["programs"]) == (3, 4, 1)
    weights = 64 * 8 + 8 * 8 + 8 * 10
    products = 2 * weights + 2 * (1 + 2) / 2 * (weights - 64 * 8)
    tests = pccore.data.info("digits").test_size
    assert tune["operations"] == 2 * 12 * (60 * 64 * products + 3 * tests * weights)
    assert tune["lane_bytes"] > 4 * weights
    assert facts["direct"]["runs"] == 12 + 4
    assert facts["direct_over_whole"]["runs"] == 16 / 32
    assert facts["left"]["seconds"] is facts["direct_over_whole"]["time"] is None
    assert facts["left"] == facts["whole"]
    learned = [tuple(shape["predicted_to_learn"].values()) for shape in facts["shapes"]]
    assert learned == [(3, 3, 3), (4, 4, 4)] * 2
    assert not (tmp_path / "runs").exists()


def test_runs_in_ledger_are_not_counted_as_remaining(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((home / "runs").rglob("*"))
    facts = plan_facts(capsys, home / "spec.yaml", "--ledger", home / "runs", "--no-calibrate")
    assert all(shape["in_ledger"] == shape["runs"] > 0 for shape in facts["shapes"])
    assert not any(shape["at_most"] for shape in facts["shapes"])
    assert facts["left"]["runs"] == facts["left"]["operations"] == facts["programs"] == 0
    assert facts["whole"]["runs"] == sum(shape["runs"] for shape in facts["shapes"])
    assert sorted((home / "runs").rglob("*")) == before


def test_time_is_estimated_from_a_few_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "CALIBRATION_SECONDS", 3600.0)
    spec = write_spec(tmp_path, variants=["mupc", "sp"])
    facts = plan_facts(capsys, spec)
    for shape in facts["shapes"]:
        timing = shape["timing"]
        assert shape["measured"]
        assert timing["step"] > 0 < timing["start"]
        trained = shape["runs"] * (60 * timing["step"] + 3 * timing["evaluation"])
        expected = trained + shape["programs"] * timing["start"]
        assert shape["slot_seconds"] == pytest.approx(expected)
    mupc, _, sp, _ = facts["shapes"]
    assert mupc["timing"] == sp["timing"]  # one measurement: they differ in scalings only
    total = sum(shape["slot_seconds"] for shape in facts["shapes"])
    assert facts["left"]["seconds"] >= total / facts["slots"]
    assert facts["direct_over_whole"]["time"] > 0
    assert not (tmp_path / "runs").exists()


def test_prints_table_and_four_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = called(capsys, "plan", str(write_spec(tmp_path)), "--no-calibrate")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:6] == ["mupc", "8", "x", "2", "tune", "12"]
    assert lines[2].split()[:7] == ["mupc", "8", "x", "3", "transfer", "≤", "12"]
    assert "at most 32 runs" in lines[5]
    for word in ("in the ledger", "to compile", "direct tuning", "measured"):
        assert sum(line.startswith(word) for line in lines) == 1
    assert "0.5 times the runs" in done.stdout
    assert [line.split()[-3:] for line in lines[1:3]] == [["3", "of", "3"], ["4", "of", "4"]]
    assert "shallow" not in done.stdout


def test_says_what_pruning_takes_and_what_a_budget_buys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tune = {**TINY["tune"], "prune": {"name": "halving", "factor": 3, "first": 20}}
    spec = write_spec(tmp_path, tune=tune, budget={"runs": 8, "operations": 1e30})
    facts = plan_facts(capsys, spec, "--no-calibrate")
    # One rung, at 20 of 60 updates, from which two cells go on, and one seed more of the best.
    mupc, bp = 6 / 3 + 2 * 2 / 3 + 1, 2 / 3 + 2 * 2 / 3 + 1
    pruning = facts["pruning"]
    assert pruning["trainings_at_least"] == pytest.approx(mupc + bp)
    assert pruning["trainings_at_most"] == (6 + 2) * 2
    # Two rates have 3 x 2 cells around one of 3 x 2, of which 5 are others; one rate of 2 has one.
    further = 0.4 + 0.3 * (2 - 1)
    assert pruning["trainings_expected"] == pytest.approx(mupc + bp + (5 + 1) * further)
    weights = 64 * 8 + 8 * 8 + 8 * 10
    inference = 2 * (1 + 2) / 2 * (weights - 64 * 8)
    whole = [2 * 60 * 64 * each for each in (2 * weights + inference, 3 * weights - 64 * 8)]
    assert pruning["operations_at_least"] == pytest.approx(mupc * whole[0] + bp * whole[1])
    expected = (mupc + 5 * further) * whole[0] + (bp + further) * whole[1]
    assert pruning["operations_expected"] == pytest.approx(expected)
    assert pruning["operations_at_most"] == pytest.approx(12 * whole[0] + 4 * whole[1])
    runs, operations = facts["budget"]["runs"], facts["budget"]["operations"]
    assert runs == {"limit": 8, "spent": 0, "left": 8, "needed": 32, "share": 1 / 4}
    assert operations["share"] == 1
    assert operations["needed"] > pruning["operations_at_most"]
    printed = called(capsys, "plan", str(spec), "--no-calibrate").stdout
    assert (
        "pruning        the search takes the updates of 7.33 to 16 trainings, about 11.5 expected, "
        in printed
    )
    assert "8 of 8 runs left, which buys 25% of what may run at most: the search" in printed


def test_says_the_same_of_a_training_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planned.py").write_text("def train(shape, rates, seed):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    search = {"rates": {"lr": [0.1, 0.2, 0.4]}, "seeds": 4, "prune": "seeds"}
    values = {"name": "own", "train": "planned:train", "tune": search}
    values |= {"transfer": {"depths": [2], "seeds": 1}, "budget": {"runs": 30}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(values))
    facts = plan_facts(capsys, tmp_path / "own.yaml")
    assert facts["pruning"] == {
        "trainings_at_least": 3 + 3,
        "trainings_at_most": 12,
        "trainings_expected": 3 + 3,
        "operations_at_least": None,
        "operations_at_most": None,
        "operations_expected": None,
    }
    expected = sum(shape["expected"] for shape in facts["shapes"])
    assert facts["budget"]["runs"]["needed"] == expected == 12 + 3
    printed = called(capsys, "plan", str(tmp_path / "own.yaml")).stdout
    assert "the search takes the updates of 6 to 12 trainings, about 6 expected; " in printed
    assert "30 of 30 runs left, which buys all of what may run at most: the search" in printed


def test_warns_of_targets_where_few_layers_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path, transfer={"depths": [8, 64]})
    done = called(capsys, "plan", str(spec), "--no-calibrate")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stdout.splitlines() if line.startswith("shallow")]
    assert "any cell of mupc at 8 x 64; inference by nesterov or augmented" in warning
    assert warning.endswith("about 14.9 under muPC")
    deep = {
        "training": {**TINY["training"], "inference": {"scheme": "nesterov", "steps": {"depth": 2}}}
    }
    tune = {**TINY["tune"], "activity_lr": [14.9]}
    spec = write_spec(tmp_path, transfer={"depths": [64]}, tune=tune, **deep)
    done = called(capsys, "plan", str(spec), "--no-calibrate")
    assert "65 of 65" in done.stdout
    assert "shallow" not in done.stdout


def test_shapes_without_a_prediction_are_left_blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = {**TINY["training"], "optimiser": "sgd"}
    spec = write_spec(tmp_path, transfer={"depths": [64]}, training=training)
    done = called(capsys, "plan", str(spec), "--no-calibrate")
    assert done.stdout.splitlines()[1].split()[-1] == "-"
    facts = plan_facts(capsys, spec, "--no-calibrate")
    assert all(shape["predicted_to_learn"] is None for shape in facts["shapes"])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--address", "auto"], "--pool ray"),
        (["--workers", "0"], "at least 1"),
        (["--ledger", "spec.yaml"], "is a file"),
        (["--ledger", "."], "not a ledger"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    write_spec(tmp_path)
    done = called(capsys, "plan", "spec.yaml", *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_updates_evaluations_and_start_are_timed_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Start 5 s, update 0.2 s, evaluation 0.3 s, of two lanes."""
    now = [0.0]

    def fit_many(
        config: TrainingConfig, data: Any, lanes: Any, on_progress: Callable[[int], None]
    ) -> None:
        now[0] += 5
        for done in range(1, config.steps + 1):
            now[0] += 0.2
            if done % config.eval_every == 0 or done == config.steps:
                on_progress(done)
                now[0] += 0.3

    monkeypatch.setattr(pccore, "fit_many", fit_many)
    timed = short(group(lanes=2), RATE)
    timing = time_training(timed.config, None, timed.lanes, clock=lambda: now[0])  # type: ignore[arg-type]
    assert asdict(timing) == pytest.approx(
        {"lanes": 2, "step": 0.1, "evaluation": 0.15, "start": 5.0}
    )


class FakePool:
    """A pool with a clock of its own, whose groups take time by their work, or fail at a depth."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fails: int | None = None, slots: int = 1
    ) -> None:
        self.now, self.fails, self.slots = 0.0, fails, slots
        self.most = 0  # largest number of waiting groups
        self.waiting: list[Group] = []
        monkeypatch.setattr(calibration.time, "monotonic", lambda: self.now)

    def submit(self, group: Group) -> None:
        self.waiting.append(group)
        self.most = max(self.most, len(self.waiting))

    def collect(self) -> list[GroupResult]:
        group = self.waiting.pop()
        if group.config.network.depth == self.fails:
            return [failed_group(group, "no memory")]
        step = work(replace(group.config, steps=1)) / RATE * (1 + len(self.waiting))
        self.now += 2.0 + group.config.steps * step
        values = {"step": step, "evaluation": 0.1, "start": 2.0}
        readings = tuple(pccore.Reading(0, name, value, "") for name, value in values.items())
        outcome = pccore.Outcome(pccore.Status.TRAINED, readings=readings)
        return [replace(failed_group(group, ""), outcomes=(outcome,))]


def test_shapes_are_timed_until_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [group(config(depth), lanes=1) for depth in (2, 3, 4, 5000, 5)]
    pool = FakePool(monkeypatch, fails=3)
    found = calibrate(pool, shapes, "cpu", seconds=20.0)  # type: ignore[arg-type]
    assert set(found) == {0, 2, 4}  # depth 3 failed, 5000 would take too long
    assert found[0].step == pytest.approx(work(replace(config(2), steps=1)) / RATE)
    assert pool.now <= 20
    assert calibrate(pool, shapes, "cpu", seconds=1.0) == {}  # type: ignore[arg-type]


def test_cores_time_the_same_shape_at_once_and_gpus_a_shape_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this pool a group takes as many times longer as there are groups."""
    shapes = [group(config(depth), lanes=1) for depth in (2, 3, 4)]
    cores = FakePool(monkeypatch, fails=3, slots=3)
    found = calibrate(cores, shapes, "cpu", seconds=60.0)  # type: ignore[arg-type]
    assert set(found) == {0, 2}
    assert cores.most == 3
    assert cores.waiting == []
    assert found[0].step == pytest.approx(2 * work(replace(config(2), steps=1)) / RATE)
    gpus = FakePool(monkeypatch, slots=2)
    found = calibrate(gpus, shapes, "gpu", seconds=60.0)  # type: ignore[arg-type]
    assert set(found) == {0, 1, 2}
    assert gpus.most == 2


def test_rate_is_interpolated_between_measured_shapes() -> None:
    def timing(shape: TrainingConfig, rate: float, start: float) -> tuple[TrainingConfig, Timing]:
        step = work(replace(shape, steps=1)) / rate
        return shape, Timing(1, step, 1e-6 * shape.network.weights, start)

    small, large = config(4), config(64)
    backpropagation = config(16, rule=pccore.Backpropagation())
    known = [timing(large, 4e9, 3.0), timing(small, 1e9, 1.0), timing(backpropagation, 1e6, 9.0)]
    between = interpolated(config(16), known)
    rate = work(replace(config(16), steps=1)) / between.step
    assert 1e9 < rate < 4e9
    assert 1.0 < between.start < 3.0
    assert between.evaluation == pytest.approx(1e-6 * config(16).network.weights)
    for depth, ends in ((2, 1e9), (128, 4e9)):
        beyond = interpolated(config(depth), known)
        assert work(replace(config(depth), steps=1)) / beyond.step == pytest.approx(ends)
    assert interpolated(config(16), known[2:]).start == 9.0  # better than nothing


def test_slots_share_work_but_no_group() -> None:
    plan = Plan.of(Experiment.from_dict(TINY))
    arm, shape = plan.arms[0], plan.experiment.tune.shape
    planned = PlannedRuns(arm, "tune", shape, plan.config(arm, shape), runs=10, known=4)

    def load(seconds: float | None, longest: float) -> Load:
        return Load(planned, (6,), 1, 0, 1e9, seconds, longest)

    assert Cost.of([load(30.0, 5.0), load(10.0, 10.0)], slots=2) == Cost(12, 2e9, 20.0)
    assert Cost.of([load(30.0, 25.0), load(10.0, 10.0)], slots=4).seconds == 25.0
    assert Cost.of([load(30.0, 25.0), load(None, 0.0)], slots=4).seconds is None

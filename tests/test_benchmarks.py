"""The benchmarks' own arithmetic and bookkeeping. What they measure is no business of the tests."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts import each other from their own folder, and leave nothing behind."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def takes(*seconds: float) -> Callable[[], float]:
    """A candidate that measures these seconds, one after the other."""
    return iter(seconds).__next__


def test_the_best_of_each_counts() -> None:
    best = import_module("measure").in_turns({"a": takes(3, 1, 2), "b": takes(5, 6, 4)}, 3)
    assert best == {"a": 1, "b": 4}


def test_candidates_take_turns() -> None:
    order = []
    candidates = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    import_module("measure").in_turns(candidates, 2)
    assert order == ["a", "b", "a", "b"]


def test_a_spent_budget_ends_the_turns_but_for_two() -> None:
    clock = takes(*range(0, 1000, 100))
    best = import_module("measure").in_turns({"a": takes(3, 2, 1)}, 3, budget=50, clock=clock)
    assert best == {"a": 2}


def test_shapes_are_depth_by_width() -> None:
    assert import_module("measure").shapes("8x64, 128x512") == [(8, 64), (128, 512)]


@pytest.mark.parametrize("text", ["8", "8x", "x64", "8x64x2", "", "8x-4"])
def test_what_is_no_shape_is_named(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="HxN"):
        import_module("measure").shapes(text)


def test_naive_operations_of_the_smallest_network() -> None:
    """One hidden unit, one sample: W_1 has 784 weights, W_2 has 10, and T = 1."""
    forward, inference, learning = 2 * 794, 4 * 10, 2 * 10 + 2 * 794
    assert import_module("measure").naive_flops((1, 1), batch=1) == forward + inference + learning


def test_naive_operations_of_inference_prevail_in_deep_networks() -> None:
    depth, width = 128, 512
    inference = depth * 4 * (depth - 1) * width**2 * 64
    found = import_module("measure").naive_flops((depth, width))
    assert inference < found < 1.02 * inference


def test_a_covered_time_counts_once() -> None:
    covered = import_module("compilation").covered
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 3 + 1


def test_eight_blocks_compute_nine_sixteenths() -> None:
    """A block of k strides serves H/8 steps: sum over k = 1 .. 8 of k/8, over 8."""
    share = import_module("roofline").wave_share
    assert share(128) == sum(k / 8 for k in range(1, 9)) / 8 == 9 / 16
    assert share(8) == 9 / 16
    assert share(1) == 1


def test_the_roofline_does_no_more_arithmetic_than_the_naive_count() -> None:
    measure, roofline = import_module("measure"), import_module("roofline")
    for shape in ((8, 64), (128, 128), (128, 512)):
        flops = sum(phase.flops for phase in roofline.phases(shape, 1).values())
        inference = shape[0] * 4 * 64 * (shape[0] - 1) * shape[1] ** 2
        assert flops == pytest.approx(measure.naive_flops(shape) - 7 / 16 * inference)


def test_a_phase_takes_as_long_as_its_scarcest_means() -> None:
    phase = import_module("roofline").Phase(flops=10, bytes=20, kernels=30)
    assert phase.seconds(peak=1, bandwidth=100, launch=0.1) == 10
    assert phase.seconds(peak=100, bandwidth=1, launch=0.1) == 20
    assert phase.seconds(peak=100, bandwidth=100, launch=1) == 30


def test_lanes_share_their_launches() -> None:
    phases = import_module("roofline").phases
    for name, one in phases((8, 128), 1).items():
        many = phases((8, 128), 132)[name]
        assert many.flops == pytest.approx(132 * one.flops)
        assert many.bytes == pytest.approx(132 * one.bytes)
        assert many.kernels == one.kernels


def report() -> Any:
    found = import_module("report").Report("Title", ["H", "s"], notes=["A note."])
    found.rows.append(["8", "1.0"])
    return found


def test_a_table_is_markdown() -> None:
    assert report().table == "| H | s |\n| --- | --- |\n| 8 | 1.0 |"


def test_json_is_ratios_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = report()
    found.ratios["a / b"] = 2.0
    found.publish(SimpleNamespace(json=True, log=False))
    assert json.loads(capsys.readouterr().out) == {"a / b": 2.0}


def test_entries_of_a_day_share_a_heading(tmp_path: Path) -> None:
    append, log = import_module("report").append, tmp_path / "log.md"
    log.write_text("# Log\n\n## 2026-01-01: something\n\nText.\n")
    for day in (1, 1, 2):
        append(report().entry("`how`"), log, date(2026, 2, day))
    text = log.read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## 2026-01-01: something",
        "## 2026-02-01: benchmarks",
        "## 2026-02-02: benchmarks",
    ]
    assert text.count("**Title** (`how`). A note.\n\n| H | s |") == 3
    assert "\n\n\n" not in text
    assert text.endswith("| 8 | 1.0 |\n")


def test_a_ratio_may_fall_by_a_fifth_and_no_further() -> None:
    failing = import_module("bench").failing
    record = {"a": 1.0, "b": 10.0}
    assert failing({"a": 0.81, "b": 8.1, "new": 0.01}, record) == []
    (failure,) = failing({"a": 0.79, "b": 12.0}, record)
    assert str(failure) == "a: 0.790 is below 0.800 (the record is 1.000)"


def test_a_bar_holds_whatever_the_record() -> None:
    bench = import_module("bench")
    (name, bar), *_ = bench.BARS.items()
    (failure,) = bench.failing({name: 0.9 * bar}, {name: 0.9 * bar})
    assert failure.name == name
    assert "its bar" in str(failure)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`bench`, with a plan of one command and a record of its own."""
    module = import_module("bench")
    monkeypatch.setattr(module, "PLAN", ["script.py"])
    monkeypatch.setattr(module, "read_record", lambda: {"a": 1.0})
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    return module


def status(bench: Any, *values: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of `bench` when its command measures these values in turn."""
    remaining = iter(values)
    monkeypatch.setattr(bench, "measured", lambda command: {"a": next(remaining)})
    with pytest.raises(SystemExit) as end:
        bench.main()
    assert list(remaining) == []
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1.0,), 0), ((0.5, 0.9), 0), ((0.5, 0.6, 0.9), 0), ((0.5, 0.7, 0.6), 1)],
)
def test_a_low_ratio_is_measured_again_before_it_fails(
    bench: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: tuple[float, ...],
    expected: int,
) -> None:
    assert status(bench, *values, monkeypatch=monkeypatch) == expected
    failed = "FAILED a: 0.700 is below 0.800 (the record is 1.000)"
    assert (failed in capsys.readouterr().out) == bool(expected)


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    bench, path = import_module("bench"), tmp_path / "record.json"
    assert bench.read_record(path) == {}
    bench.write_record({"a / b": 1.23456}, path)
    assert bench.read_record(path) == {"a / b": 1.2346}
    assert set(json.loads(path.read_text())["measured"]) == {"date", "commit", "jax", "cores"}


def test_every_command_of_the_plan_exists() -> None:
    for command in import_module("bench").PLAN:
        assert (FOLDER / command.split()[0]).is_file()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_threads_are_counted_by_name() -> None:
    seconds = import_module("overhead").thread_seconds
    assert seconds("") > 0
    assert seconds("no thread is called this") == 0

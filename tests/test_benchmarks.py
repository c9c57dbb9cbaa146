"""The benchmarks: their arithmetic, their bookkeeping, and that the smallest form of each runs.

The numbers of a smallest form mean nothing; the tests check that they are there.
"""

import argparse
import json
import math
import os
import subprocess
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
    """Let the scripts import each other from their folder, and unload them afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def takes(*seconds: float) -> Callable[[], float]:
    """Return a candidate that measures these seconds one after the other."""
    return iter(seconds).__next__


def test_best_of_each_counts() -> None:
    best = import_module("measure").in_turns({"a": takes(3, 1, 2), "b": takes(5, 6, 4)}, 3)
    assert best == {"a": 1, "b": 4}


def test_candidates_take_turns() -> None:
    order = []
    candidates = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    import_module("measure").in_turns(candidates, 2)
    assert order == ["a", "b", "a", "b"]


def test_spent_budget_ends_the_turns_after_two() -> None:
    clock = takes(*range(0, 1000, 100))
    best = import_module("measure").in_turns({"a": takes(3, 2, 1)}, 3, budget=50, clock=clock)
    assert best == {"a": 2}


def test_shapes_are_depth_by_width() -> None:
    assert import_module("measure").shapes("8x64, 128x512") == [(8, 64), (128, 512)]


@pytest.mark.parametrize("text", ["8", "8x", "x64", "8x64x2", "", "8x-4"])
def test_rejects_invalid_shape(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="HxN"):
        import_module("measure").shapes(text)


def test_naive_operations_of_the_smallest_network() -> None:
    """One hidden unit, one sample: W_1 has 784 weights, W_2 has 10, and T = 1."""
    forward, inference, learning = 2 * 794, 4 * 10, 2 * 10 + 2 * 794
    assert import_module("measure").naive_flops((1, 1), batch=1) == forward + inference + learning


def test_inference_dominates_the_operations_of_deep_networks() -> None:
    depth, width = 128, 512
    inference = depth * 4 * (depth - 1) * width**2 * 64
    found = import_module("measure").naive_flops((depth, width))
    assert inference < found < 1.02 * inference


def test_overlapping_times_count_once() -> None:
    covered = import_module("compilation").covered
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 3 + 1


def test_eight_blocks_compute_nine_sixteenths() -> None:
    """A block of k strides serves H/8 steps: sum over k = 1 .. 8 of k/8, over 8."""
    share = import_module("roofline").wave_share
    assert share(128) == sum(k / 8 for k in range(1, 9)) / 8 == 9 / 16
    assert share(8) == 9 / 16
    assert share(1) == 1


def test_roofline_counts_no_more_arithmetic_than_the_naive_count() -> None:
    measure, roofline = import_module("measure"), import_module("roofline")
    for shape in ((8, 64), (128, 128), (128, 512)):
        flops = sum(phase.flops for phase in roofline.phases(shape, 1).values())
        inference = shape[0] * 4 * 64 * (shape[0] - 1) * shape[1] ** 2
        assert flops == pytest.approx(measure.naive_flops(shape) - 7 / 16 * inference)


def test_phase_takes_as_long_as_its_scarcest_resource() -> None:
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


def test_table_is_markdown() -> None:
    assert report().table == "| H | s |\n| --- | --- |\n| 8 | 1.0 |"


def test_json_has_ratios_only(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_ratio_may_fall_by_a_fifth() -> None:
    failing = import_module("bench").failing
    record = {"a": 1.0, "b": 10.0}
    assert failing({"a": 0.81, "b": 8.1, "new": 0.01}, record) == []
    (failure,) = failing({"a": 0.79, "b": 12.0}, record)
    assert str(failure) == "a: 0.790 is below 0.800 (the record is 1.000)"


def test_bar_holds_whatever_the_record() -> None:
    bench = import_module("bench")
    (name, bar), *_ = bench.BARS.items()
    (failure,) = bench.failing({name: 0.9 * bar}, {name: 0.9 * bar})
    assert failure.name == name
    assert "its bar" in str(failure)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return `bench` with a plan of one command and its own record."""
    module = import_module("bench")
    monkeypatch.setattr(module, "PLAN", ["script.py"])
    monkeypatch.setattr(module, "read_record", lambda: {"a": 1.0})
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    return module


def status(bench: Any, *values: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit status of `bench` when its command measures these values in turn."""
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
def test_low_ratio_is_measured_again_before_it_fails(
    bench: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: tuple[float, ...],
    expected: int,
) -> None:
    assert status(bench, *values, monkeypatch=monkeypatch) == expected
    failed = "FAILED a: 0.700 is below 0.800 (the record is 1.000)"
    assert (failed in capsys.readouterr().out) == bool(expected)


def test_record_round_trip(tmp_path: Path) -> None:
    bench, path = import_module("bench"), tmp_path / "record.json"
    assert bench.read_record(path) == {}
    bench.write_record({"a / b": 1.23456}, path)
    assert bench.read_record(path) == {"a / b": 1.2346}
    assert set(json.loads(path.read_text())["measured"]) == {"date", "commit", "jax", "cores"}


def test_every_command_of_the_plan_exists() -> None:
    for command in import_module("bench").PLAN:
        assert (FOLDER / command.split()[0]).is_file()


def test_import_cycles_are_found(tmp_path: Path) -> None:
    sources = {
        "p/__init__.py": "",
        "p/a.py": "from p import b",
        "p/b.py": "def f():\n    from .a import g",
        "p/c.py": "import p.a",
    }
    (tmp_path / "p").mkdir()
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.setuptools.packages.find]\ninclude = ["p", "p.*"]\n'
    )
    size = import_module("size")
    found = size.measure(size.shipped(tmp_path), top=1)
    assert found.cycles == [["p.a", "p.b"]]
    assert (found.files, found.lines) == (4, 4)
    assert found.longest_functions == [(2, "p.b:f")]
    assert "Import cycles: 1" in size.text(found)


def test_mutants_differ_in_one_expression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = import_module("mutation")
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    (tmp_path / "m.py").write_text("def f(x: int = 1) -> bool:\n    return x < 2 and not x")
    found = [(mutant.line, mutant.change) for mutant in mutation.mutants("m.py")]
    assert sorted(found) == [
        (1, "1 -> 2"),
        (2, "2 -> 3"),
        (2, "not x -> x"),
        (2, "x < 2 -> x <= 2"),
        (2, "x < 2 and (not x) -> x < 2 or not x"),
    ]
    changed = {mutant.source for mutant in mutation.mutants("m.py")}
    assert len(changed) == 5


def test_mutation_targets_exist() -> None:
    mutation = import_module("mutation")
    for target in mutation.TARGETS.values():
        for name in (*target.files, *target.tests):
            assert (mutation.ROOT / name).is_file(), name


IN_PROCESS = {
    "compiled_share": "--shapes 2x4 --steps 2 --repeats 1",
    "driver": "--runs 4",
    "memory": "--shapes 2x4 --no-runs",
    "native": "--cases 2x4,2x4x2:nesterov --repeats 1",
    "overhead": "--steps 2 --seeds 1 --repeats 1 --shape 2x4",
    "schemes": "--shapes 2x4 --lanes 1,2 --per-layer 1 --repeats 1",
    "step_time": "--shapes 2x4 --repeats 1 --clock processor",
    "streaming": "--depth 2 --width 4 --lanes 1 --steps 2 --repeats 1 --clock processor",
}
IN_A_PROCESS_OF_ITS_OWN = {
    "coverage": "--quick --processes 1",
    "chaos": "--kills 1 --nodes 1",
    "compile_time": "--depths 2,3 --width 4 --repeats 1",
    "conditioning": "--shapes 2x2",
    "forecast": "",
    "gpu": "--quick --json",
    "gauss_newton": "--shapes 2x4 --repeats 1 --longest 10 --json",
    "live_search": "--quick --json",
    "many_rates": "1",
    "ledger_scale": "--runs 40000 --points 1 --merged 2 --small 2 --many 3 --json",
    "mutation": "--list",
    "roofline": "--cases 2x4x1 --repeats 1",
    "search_cost": "--quick --json",
    "size": "--top 3",
    "startup": "--shapes 1x2 --repeats 1 --json",
    "throughput": "--shapes 1x2 --repeats 1",
}
QUICK = {"size"}
PARTS = {
    "bench", "compilation", "invented_ledger", "measure", "peer", "real_landscapes", "report",
    "served", "steps", "worlds",
}  # fmt: skip


def test_every_benchmark_has_a_smallest_form() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py")}
    assert scripts - PARTS == IN_PROCESS.keys() | IN_A_PROCESS_OF_ITS_OWN.keys()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("overhead", "schemes") else [])
        for name in IN_PROCESS
    ],
)
def test_smallest_form_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{name}.py", *IN_PROCESS[name].split(), "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(os, "environ", os.environ.copy())  # some bound the threads of arithmetic
    import_module(name).main()
    ratios = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert ratios
    assert all(math.isfinite(value) for value in ratios.values()), ratios


def test_way_of_a_run_reaches_its_first_step(tmp_path: Path) -> None:
    """What `mupc run` does up to its first step, measured in a fresh process."""
    startup = import_module("startup")
    if startup.mnist_folder() is None:
        pytest.skip("MNIST's files are not here")
    command = [sys.executable, startup.__file__, "--shapes", "1x2", "--child", "run"]
    stages = startup.started(command, MUPC_CACHE=str(tmp_path))
    assert stages.keys() == {*startup.STAGES, startup.PROCESSOR}
    assert stages["first step"] > stages["imports"] > 0


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name in IN_A_PROCESS_OF_ITS_OWN
    ],
)
def test_smallest_form_runs_by_itself(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *IN_A_PROCESS_OF_ITS_OWN[name].split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_layer_per_multiprocessor_does_two_products_a_step() -> None:
    """Eight layers take 8 of 132 multiprocessors: 16 lanes at once, 132 in nine rounds."""
    roofline = import_module("roofline")
    gpu = roofline.Gpu(fp32=132.0, tf32=264.0, bandwidth=1.0)
    one = 8 * 4 * 64 * 128**2
    assert roofline.layer_per_sm((8, 128), 16, gpu, gpu.fp32) == one
    assert roofline.layer_per_sm((8, 128), 132, gpu, gpu.tf32) == 9 * one / 2
    assert roofline.layer_per_sm((128, 512), 1, gpu, gpu.fp32) is None  # 1 MB of weights
    assert roofline.layer_per_sm((133, 64), 1, gpu, gpu.fp32) is None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the script of `make gpu`, its parts at tiny sizes."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--only", "steps,kernel"])
    return import_module("gpu")


def part_of(gpu: Any, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit status of the script when its parts find these."""
    monkeypatch.setattr(gpu, "of_process", lambda part, limit, options: found[part])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    return int(end.value.code or 0)


def test_gpu_parts_fit_in_eight_minutes() -> None:
    gpu = import_module("gpu")
    assert gpu.DEVICE_LIMIT + sum(gpu.LIMITS.values()) < 480


def test_no_gpu_is_one_sentence(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"device": gpu.Part([("cpu", "cpu", "0.10")])}
    assert part_of(gpu, found, monkeypatch) == 2
    assert capsys.readouterr().err == "There is no GPU here: JAX 0.10 finds cpu.\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_failed_part_leaves_the_others(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    found = {
        "device": gpu.Part([("NVIDIA H200", "gpu", "0.10")]),
        "steps": gpu.Part(error="took more than 75 s"),
        "kernel": gpu.Part([("inference", "1 µs", "2 µs")], {"faster": 2.0}),
    }
    if as_json:
        sys.argv.append("--json")
    assert part_of(gpu, found, monkeypatch) == 1
    out = capsys.readouterr().out
    if as_json:
        facts = json.loads(out)
        assert facts["device"] == "NVIDIA H200"
        assert facts["steps"]["error"] == "took more than 75 s"
        assert facts["kernel"]["ratios"] == {"faster": 2.0}
    else:
        assert "| steps | FAILED | - | took more than 75 s |" in out
        assert "| kernel | inference | 1 µs | 2 µs |" in out
        assert f"NVIDIA H200, {date.today()}" in out


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import time; time.sleep(60)", "took more than 0.5 s"),
        ("raise ValueError('no memory')", "ValueError: no memory"),
        ("print('[]')", "ended with status 0"),
    ],
)
def test_part_that_fails_says_why(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, code: str, error: str
) -> None:
    limit = 0.5 if "sleep" in code else 60
    started = gpu.finished

    def finished(arguments: list[str], limit: float) -> Any:
        return started([sys.executable, "-S", "-c", code], limit)

    monkeypatch.setattr(gpu, "finished", finished)
    assert gpu.of_process("steps", limit, SimpleNamespace(quick=False)).error == error


def test_kernel_is_compared_with_xla(gpu: Any) -> None:
    found = gpu.kernel(gpu.QUICK)
    assert found.error == ""
    assert len(found.lines) == len(found.ratios) == 1


@pytest.mark.parametrize(
    ("kind", "model"), [("NVIDIA H200", "H200"), ("NVIDIA H100 80GB HBM3", "H100"), ("cpu", "H100")]
)
def test_gpu_is_compared_with_its_own_roofline(gpu: Any, kind: str, model: str) -> None:
    assert gpu.modelled(kind) == model

"""The scripts of examples/depth: the specs they make, and the tables of what they trained."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "depth"
SPECS = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "headline")


def script(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"depth_{name}", FOLDER / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rule", SPECS)
def test_settings_replace_those_of_the_spec(rule: str) -> None:
    experiment = script("run").experiment(rule, "digits", 16, 4, [6, 9], 500)
    assert (experiment.dataset, experiment.training.steps) == ("digits", 500)
    assert (experiment.tune.width, experiment.tune.depth) == (16, 4)
    assert [shape.depth for shape in experiment.transfer.shapes(experiment.tune)] == [6, 9]
    own = script("run").experiment(rule, "fashion_mnist", 32, 8, [32], 300)
    assert own.training.inference == experiment.training.inference


def test_every_rule_of_inference_has_a_name_in_the_tables() -> None:
    assert script("tables").NAMES.keys() == set(SPECS)


@pytest.mark.slow
def test_what_it_trained_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ["--ledger", str(tmp_path / "runs")]
    settings = ["--dataset", "digits", "--width", "8", "--depths", "10", "--steps", "20"]
    monkeypatch.setattr(sys, "argv", ["run.py", "bp", "nesterov", *settings, *ledger])
    script("run").main()
    capsys.readouterr()
    figure = tmp_path / "rates.png"
    monkeypatch.setattr(
        sys, "argv", ["tables.py", *ledger, "--rates", str(figure), "--layers", str(figure)]
    )
    script("tables").main()
    printed = capsys.readouterr().out
    assert "dataset digits, steps 20, tune_depth 8, width 8" in printed
    for name in ("backpropagation", "Nesterov, T = 2H"):
        (row,) = [line for line in printed.splitlines() if line.startswith(f"| 10 | {name} |")]
        assert "of 11" in row

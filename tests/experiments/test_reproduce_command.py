"""`mupc reproduce` and `python -m experiments`: list, run, scorecard, and user errors."""

import json
from pathlib import Path

import pytest

from experiments import RECIPES
from experiments.__main__ import app
from jobs.cli.entry import run_command
from jobs.cli.main import main

CHEAP = "toy-landscape"  # calculated in seconds from a built-in data set


def mupc(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["mupc", "reproduce", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_list_shows_every_recipe_with_estimates(tmp_path, monkeypatch, capsys):
    assert mupc(monkeypatch, tmp_path, "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["recipes"]
    assert [row["name"] for row in rows] == list(RECIPES)
    assert all(row["small"]["seconds"] > 0 and row["full"]["gpu_hours"] > 0 for row in rows)


@pytest.mark.slow
def test_run_writes_figures_rows_and_verdicts(tmp_path, monkeypatch, capsys):
    assert mupc(monkeypatch, tmp_path, "run", CHEAP) == 0
    assert "toy-landscape" in capsys.readouterr().out
    figures = {path.stem for path in (tmp_path / "report/reproduce/small").glob("*.png")}
    assert figures == set(RECIPES[CHEAP].figures)
    assert mupc(monkeypatch, tmp_path, "scorecard", "--json", "--out", "card.md") == 0
    card = json.loads(capsys.readouterr().out)["claims"]
    own = [line for line in card if line["recipe"] == CHEAP]
    assert own
    assert all(line["verdict"] == "reproduced" for line in own)
    assert (tmp_path / "card.md").read_text().count("### ") == len(RECIPES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "dept"], ["dept", "did you mean 'depth'"]),
        (["run", "depth", "--data-dir", "."], ["depth", "mnist", "--data-dir"]),
        (["run", CHEAP, "--address", "auto"], ["--address", "--pool ray"]),
        (["run", CHEAP, "--scale", "smal"], ["smal", "small"]),
        (["run", CHEAP, "--out", "taken"], ["--out", "taken", "file"]),
        (["scorecard", "--ledger", "nowhere"], ["nowhere"]),
        (["scorecard", "--page", "card.md", "--scale", "full"], ["--page", "small", "full"]),
    ],
)
def test_user_errors_print_one_line_and_write_nothing(
    tmp_path, monkeypatch, capsys, arguments, words
):
    (tmp_path / "taken").write_text("a file")
    assert mupc(monkeypatch, tmp_path, *arguments) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_rejects_unknown_layouts_in_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MUPC_LAYOUTS", "nonsense")
    assert mupc(monkeypatch, tmp_path, "run", CHEAP) == 2
    assert "MUPC_LAYOUTS" in capsys.readouterr().err


@pytest.mark.slow
def test_python_m_experiments_lists_recipes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["experiments", "list", "--json"])
    with pytest.raises(SystemExit) as ended:
        run_command(app, "experiments")
    assert not ended.value.code
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["recipes"]] == list(RECIPES)


def test_reproduce_needs_source_checkout(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("jobs.cli.recipes.find_spec", lambda name: None)
    assert mupc(monkeypatch, tmp_path, "list") == 2
    assert "part of the source checkout" in capsys.readouterr().err

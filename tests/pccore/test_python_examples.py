"""The scripts of examples/python, with fewer weight updates."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "python"


@pytest.fixture
def main(request, monkeypatch):
    """Return the function `main` of the example with the name of the test."""
    monkeypatch.syspath_prepend(FOLDER)
    name = request.node.name.removeprefix("test_")
    return runpy.run_path(str(FOLDER / f"{name}.py"))["main"]


def test_discriminative(main):
    assert main(steps=100) > 0.9


@pytest.mark.slow
def test_generative(main, capsys):
    assert main(steps=300) > 0.8
    assert capsys.readouterr().out.count("#") > 100


def test_unsupervised(main):
    reconstructed, by_components, mean_image = main(steps=400)
    assert by_components < mean_image
    assert reconstructed < by_components + 0.2 * (mean_image - by_components)


@pytest.mark.slow
def test_completion(main, tmp_path):
    picture = tmp_path / "completion.png"
    errors = main(steps=400, path=str(picture))
    for completed, mean_image in errors.values():
        assert completed < 0.8 * mean_image
    assert picture.stat().st_size > 5000


@pytest.mark.slow
def test_any_training(main, tmp_path):
    result = main(ledger=tmp_path / "runs", seeds=1, target=5)
    assert set(result.ledger.runs()["outcome"]) == {"trained"}
    assert result.optima["train"].loss < 0.5  # log 10 = 2.3 before training
    assert [row["rule"] for row in result.verdicts] == ["zero_shot", "depth_mup"]


def test_all_examples_are_tested():
    assert {f"test_{path.stem}" for path in FOLDER.glob("*.py")} < set(globals())

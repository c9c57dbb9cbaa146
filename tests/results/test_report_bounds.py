"""A report of numbers that no figure can show, and of names that no page should obey."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fewer import cases
from synthetic_ledger import FakeLedger, run, seeds, verdict

from results import plot_landscape
from results.figures import style
from results.page.drawable import drawable
from results.page.report import report

EXTREME = [0.0, -1.0, math.inf, -math.inf, 5e-324, 1e308]
SOUND = seeds(0.1, 0.5, 0.1, 0.2) + seeds(0.5, 0.5, 0.3, 0.2)


def page(tmp_path: Path, **rows: Any) -> str:
    return report(FakeLedger(**rows), tmp_path / "out").read_text()


def test_rates_without_a_place_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [run(eta, 0.5, seed=9) for eta in EXTREME] + [run(0.1, beta, seed=9) for beta in EXTREME]
    text = page(tmp_path, run_rows=SOUND + rows, verdict_rows=[verdict()])
    assert f"{len(rows)} rows of this experiment left out" in text
    assert "rows of this experiment" not in page(tmp_path, run_rows=SOUND)


def test_other_numbers_too_extreme_to_show_are_blank_and_said(tmp_path: Path) -> None:
    names = ["final_train_loss", "min_train_loss", "test_accuracy", "test_loss", "seconds", "seed",
             "batch_size", "layers", "layers_learned", "steps", "inference_steps"]  # fmt: skip
    rows = [run(0.1, 0.5, seed=9) | dict.fromkeys(names, value) for value in (1e308, -1e308)]
    curve = [
        {"run_id": SOUND[0]["run_id"], "step": k, "train_loss": value, "test_accuracy": value}
        for k, value in enumerate(EXTREME)
    ]
    layers = [
        {"run_id": SOUND[0]["run_id"], "layer": k, "change": value}
        for k, value in enumerate(EXTREME, 1)
    ]
    shown = verdict()
    numbers = [name for name, value in shown.items() if value is None or isinstance(value, float)]
    judged = [verdict(depth=64), verdict(rule="fitted") | dict.fromkeys(numbers, 1e308)]
    text = page(
        tmp_path, run_rows=SOUND + rows, curve_rows=curve, verdict_rows=judged, layer_rows=layers
    )
    assert "numbers of this experiment left blank, too extreme to show" in text
    assert "1e+308" not in text


def test_sizes_that_no_network_has_are_left_out(tmp_path: Path) -> None:
    rows, odd = [], []
    for value in (0, -5, 2**62):
        rows += [run(0.1, 0.5, width=value), run(0.1, 0.5, depth=value)]
        odd += [verdict(depth=value), verdict(tune_depth=value, tune_width=32)]
    text = page(tmp_path, run_rows=SOUND + rows, verdict_rows=odd)
    assert "9 rows of this experiment left out" in text


def test_a_cell_without_activity_rate_beside_others_is_no_end_of_the_report(tmp_path: Path) -> None:
    text = page(tmp_path, run_rows=[*SOUND, *seeds(0.1, None, 0.2, 0.3)])
    assert "</html>" in text


@pytest.mark.parametrize(
    "others",
    cases(
        [
            {"spec": '{"variants": 5}'}, {"spec": "{" * 5000}, {"run_ids": "[" * 100_000},
            {"reason": None}, {"created": pd.Timestamp("9999-12-31T23:59Z")},
            {"spec": '{"variants": [{"x": 1}]}'}, {"run_ids": "5"},
        ],
        5,
    ),
    ids=lambda others: str(others)[:30],
)  # fmt: skip
def test_columns_that_the_ledger_would_not_write(tmp_path: Path, others: dict[str, Any]) -> None:
    text = page(tmp_path, run_rows=SOUND, verdict_rows=[{**verdict(), "run_ids": None, **others}])
    assert "</html>" in text


def test_markup_and_control_characters_stay_text(tmp_path: Path) -> None:
    name = '<script>alert("x")</script>\x1b[2J\u202e' + "n" * 500
    text = page(
        tmp_path,
        run_rows=[
            row | {"variant": name, "experiment": name, "outcome": "failed", "cause": name}
            for row in SOUND
        ],
    )
    assert "<script" not in text
    assert "\x1b" not in style.label(name)
    assert len(style.label(name)) == style.MOST_LETTERS


def test_no_link_in_the_folder_of_a_report_is_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    out = tmp_path / "out"
    first = report(FakeLedger(SOUND), out)
    names = [*(path.name for path in out.iterdir()), ".index.html.part", "index.html.part"]
    for name in names:
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(precious)
    report(FakeLedger(SOUND), out)
    assert precious.read_text() == "mine"
    assert not first.is_symlink()
    assert "</html>" in first.read_text()


def test_a_landscape_without_rates_that_can_be_drawn() -> None:
    table = pd.DataFrame([[0.1, 0.2, 0.3]], columns=[0.0, 0.1, math.inf], index=[0.5])
    table.attrs = {"variant": "mupc", "width": 8, "depth": 2, "value": "final_train_loss"}
    figure = style.new_figure(4, 3)
    with pytest.warns(RuntimeWarning, match="are not drawn"):
        plot_landscape(table, figure.add_subplot())
    style.png(figure)
    with (
        pytest.raises(ValueError, match="empty"),
        pytest.warns(RuntimeWarning, match="are not drawn"),
    ):
        plot_landscape(table[[0.0]], figure.add_subplot())


def test_what_is_drawable() -> None:
    frame = pd.DataFrame({"weight_lr": [0.1, 0.0, 0.1], "regret": [0.5, 0.5, 1e9], "loss": 1.0})
    shown, left_out, blank = drawable(frame, ("weight_lr",))
    assert (left_out, blank) == (1, 1)
    assert shown["regret"].dropna().to_list() == [0.5]
    assert list(shown["loss"]) == [1.0, 1.0]


def test_the_folder_of_a_report_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    report(FakeLedger(SOUND), tmp_path / "link")
    assert "</html>" in (tmp_path / "real" / "index.html").read_text()

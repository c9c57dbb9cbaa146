"""Positions of tiles, regions, marks and ticks in figures, and sizes of PNG files."""

import io
from math import log10, nan, sqrt

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from synthetic_ledger import at_chance, curve, frame, layers, run, seeds, verdict, verdicts

import pccore
from results.figures import depth, heatmap, layout, marks, profile, scaling, style, training
from results.figures.cells import lowest
from results.figures.panels import panels
from results.shapes import Shape

GRID = [
    *seeds(0.01, 1, 0.4),
    *seeds(0.1, 1, 0.1),
    *seeds(1.0, 1, "diverged"),
    at_chance(0.01, 10),
    *seeds(0.1, 10, 0.2, "diverged"),
    *seeds(1.0, 10, "failed"),
    *seeds(0.01, 1, 0.3, depth=64),
    *seeds(0.1, 1, 0.35, depth=64),
]
BP = [
    *seeds(0.001, None, 0.3, 0.5, variant="bp"),
    *seeds(0.01, None, 0.1, 0.2, variant="bp"),
    *seeds(0.1, None, "diverged", "diverged", variant="bp"),
    at_chance(1e-4, None, variant="bp"),
]


def drawn(rows, variant="mupc"):
    return panels(frame(*rows), verdicts(), variant)


def patterned(axes, hatch):
    """Return the centres (eta, beta) of tiles with `hatch`, and whether they are filled."""
    found = {}
    for patch in axes.patches:
        if patch.get_hatch() == hatch:
            x0, y0 = patch.get_xy()
            x1, y1 = x0 + patch.get_width(), y0 + patch.get_height()
            centre = round(sqrt(x0 * x1), 6), round(sqrt(y0 * y1), 6)
            found[centre] = patch.get_facecolor()[3] > 0
    return found


def marked(axes, marker):
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines}


def test_draws_regions_and_marks_at_their_cells():
    figure = heatmap.draw(drawn(GRID))
    at8, at64 = figure.axes[:2]
    # tiles are decades with the cells at their centres; coloured tiles have no second fill
    assert patterned(at8, "////") == {(1.0, 1.0): True, (0.1, 10.0): False}
    assert patterned(at8, "...") == {(0.01, 10.0): True}
    assert patterned(at64, "////") == patterned(at64, "...") == {}
    assert marked(at8, "x") == {(1.0, 10.0)}
    assert marked(at8, "*") == marked(at8, "o") == marked(at64, "o") == {(0.1, 1.0)}
    assert marked(at64, "*") == {(0.01, 1.0)}


def test_a_cell_that_the_search_stopped_shows_after_how_many_updates():
    """The most of its seeds; none where a seed was finished, or the number is not recorded."""
    stopped = {"outcome": "pruned", "steps": 160}
    rows = [
        *seeds(0.01, 1, 0.4), *seeds(0.1, 1, 0.1), *seeds(0.01, 10, 0.3),
        run(0.1, 10, None, steps_done=24, **stopped),
        run(0.1, 10, None, seed=1, steps_done=56, **stopped),
        run(0.01, 10, None, seed=1, steps_done=24, **stopped),
    ]  # fmt: skip
    axes = heatmap.draw(drawn(rows)).axes[0]
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("56", (0.1, 10.0))]
    assert marked(axes, "_") == {(0.1, 10.0)}
    unknown = run(0.1, 10, None, steps_done=None, **stopped)
    axes = heatmap.draw(drawn([*seeds(0.01, 1, 0.4), unknown])).axes[0]
    assert not axes.texts
    of_bp = [*seeds(0.01, None, 0.3, variant="bp")]
    of_bp += [run(0.1, None, None, variant="bp", steps_done=40, **stopped)]
    axes = profile.draw(panels(frame(*of_bp), verdicts(), "bp"), frame(*of_bp)).axes[0]
    assert [text.get_text() for text in axes.texts] == ["40"]


def test_tiles_are_coloured_by_loss_on_one_log_scale_for_all_shapes():
    figure = heatmap.draw(drawn(GRID))
    at8, at64 = (axes.collections[0] for axes in figure.axes[:2])
    losses = [[0.4, 0.1, nan], [nan, 0.2, nan]]  # rows are betas
    np.testing.assert_allclose(at8.get_array().filled(nan), losses)
    np.testing.assert_allclose(at64.get_array().filled(nan), [[0.3, 0.35, nan], [nan] * 3])
    assert at8.norm is at64.norm
    assert (at8.norm.vmin, at8.norm.vmax) == (0.1, 0.4)
    assert at8.norm(0.2) == pytest.approx(0.5)  # half-way in the logarithm
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


def test_the_legend_has_exactly_what_is_drawn():
    def texts(rows):
        [legend] = heatmap.draw(drawn(rows)).legends
        return [text.get_text() for text in legend.get_texts()]

    assert texts(GRID) == [
        "best cell found at the shape", "transferred cell", "diverged", "at chance",
        "every run failed", "blank: not tried",
    ]  # fmt: skip
    assert texts(seeds(0.1, 1, 0.2)) == ["best cell found at the shape"]
    assert texts(seeds(0.1, 1, "diverged")) == ["diverged"]
    assert marks.entries(drawn(GRID)) == [
        "optimum", "transferred", "diverged", "at_chance", "failed",
    ]  # fmt: skip


def test_outlines_the_regions_of_both_optima():
    """Of the target as far as the axes go on its open side, and of the tuned shape."""
    columns = {
        "tune_optimum_weight_lr": (0.1, 0.05, 0.2),
        "tune_optimum_activity_lr": (1.0, 0.5, 2.0),
        "optimum_weight_lr": (0.02, None, 0.3),
        "optimum_activity_lr": (1.0, 0.4, 3.0),
    }
    found = verdict(
        depth=64,
        **{
            name + end: value
            for name, values in columns.items()
            for end, value in zip(("", "_low", "_high"), values, strict=True)
        },
    )
    both = panels(frame(*GRID), verdicts(found), "mupc")
    assert both[0].region == {"weight_lr": (0.05, 0.2), "activity_lr": (0.5, 2.0)}
    assert both[1].region == {"weight_lr": (0.0, 0.3), "activity_lr": (0.4, 3.0)}
    target = heatmap.draw(both).axes[1]
    [outline] = [p for p in target.patches if p.get_linestyle() == marks.REGION["linestyle"]]
    box = outline.get_bbox()
    np.testing.assert_allclose([box.x0, box.x1], [target.get_xlim()[0], 0.3])
    np.testing.assert_allclose([box.y0, box.y1], [0.4, 3.0])
    assert "optimal" in marks.entries(both)


def test_a_landscape_without_a_trained_cell_has_no_colour_scale():
    figure = heatmap.draw(drawn(seeds(0.1, 1, "diverged")))
    assert len(figure.axes) == 1
    assert len(heatmap.draw(drawn(seeds(0.1, 1, 0.1))).axes) == 2


def test_draws_scattered_points_at_their_rates():
    rows = [run(10**-k, 10 ** (0.3 * k), 0.1 * k) for k in range(1, 6)]
    rows += [run(0.7, 0.02, None, outcome="diverged"), run(0.3, 7.0, None, outcome="failed")]
    [panel] = drawn(rows)
    assert not heatmap.is_grid(panel.cells)
    axes = heatmap.draw([panel]).axes[0]
    points = axes.collections[0]
    assert {round(log10(x)) for x, _ in points.get_offsets()} == {-1, -2, -3, -4, -5}
    np.testing.assert_allclose(sorted(points.get_array()), [0.1, 0.2, 0.3, 0.4, 0.5])
    hatched = [c for c in axes.collections if c.get_hatch() == "////" * 2 and len(c.get_offsets())]
    np.testing.assert_allclose(hatched[0].get_offsets(), [[0.7, 0.02]])
    assert marked(axes, "x") == {(0.3, 7.0)}
    assert marked(axes, "*") == {(0.1, 10**0.3)}
    low, high = axes.get_xlim()
    assert low < 1e-5
    assert high > 0.7  # nothing is cut by the frame


def test_a_neighbourhood_of_a_grid_is_still_a_grid():
    full = [run(e, b) for e in (0.01, 0.1, 1.0) for b in (1, 10, 100)]
    target = [run(0.1, b, depth=64) for b in (1, 10)]
    assert heatmap.is_grid(pd.concat([p.cells for p in drawn([*full, *target])]))


def test_the_profile_marks_bands_and_rates():
    rows = frame(*BP)
    figure = profile.draw(panels(rows, verdicts(), "bp"), rows)
    axes = figure.axes[0]
    bands = {
        (patch.get_hatch(), round(sqrt(patch.get_x() * (patch.get_x() + patch.get_width())), 8))
        for patch in axes.patches
    }
    assert bands == {("////", 0.1), ("...", 1e-4)}
    [(eta, loss)] = marked(axes, "*")
    assert (eta, loss) == (0.01, pytest.approx(0.15))
    mean = next(line for line in axes.lines if line.get_linewidth() == 1.8)
    np.testing.assert_allclose(mean.get_xdata(), [0.001, 0.01])
    np.testing.assert_allclose(mean.get_ydata(), [0.4, 0.15])
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("outcome", ["diverged", "at_chance", "failed"])
def test_a_profile_without_a_trained_run_can_be_drawn(outcome):
    rows = frame(run(0.1, None, 0.45, outcome=outcome, variant="bp"))
    assert style.png(profile.draw(panels(rows, verdicts(), "bp"), rows))


def test_edges_are_geometric_means():
    np.testing.assert_allclose(layout.edges([0.01, 0.1, 1.0]), 10.0 ** np.arange(-2.5, 1.0))
    np.testing.assert_allclose(layout.edges([4.0]), [4 / sqrt(2), 4 * sqrt(2)])
    np.testing.assert_allclose(layout.edges([1.0, 4.0]), [0.5, 2.0, 8.0])


def test_the_outline_of_a_region_is_its_border_without_inner_lines():
    ell = np.array(
        [[True, True, False], [True, False, False]]
    )  # perimeter of three tiles in an L: 8
    segments = heatmap.outline(ell, np.arange(4.0), np.arange(3.0))
    assert len(segments) == 8
    assert [(1.0, 0.0), (1.0, 1.0)] not in segments  # between the two tiles of the lower row
    assert [(1.0, 1.0), (2.0, 1.0)] in segments
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert len(heatmap.outline(ring, np.arange(4.0), np.arange(4.0))) == 12 + 4


@pytest.mark.parametrize(
    ("shapes", "rows", "columns"),
    [
        ([(32, 8)], 1, 1),
        ([(32, 2**k) for k in range(3, 8)], 1, 5),
        ([(2**k, 8) for k in range(6, 11)], 5, 1),
        ([(w, d) for w in (32, 64) for d in (8, 16, 32)], 2, 3),
        ([(2**k, 8) for k in range(6, 11)] + [(512, 2**k) for k in range(4, 8)], 2, 5),
        ([(32, d) for d in range(1, 8)], 2, 5),
    ],
)
def test_every_shape_has_its_own_place(shapes, rows, columns):
    found_rows, found_columns, places = layout.arrange([Shape(*s) for s in shapes])
    assert (found_rows, found_columns) == (rows, columns)
    assert len(set(places.values())) == len(shapes)
    assert all(0 <= r < rows and 0 <= c < columns for r, c in places.values())


def test_arranges_a_product_of_shapes_as_a_grid():
    shapes = [Shape(w, d) for w in (32, 64) for d in (8, 16)]
    assert layout.arrange(shapes)[2] == {
        Shape(32, 8): (0, 0), Shape(32, 16): (0, 1), Shape(64, 8): (1, 0), Shape(64, 16): (1, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"), (1000.0, "1000"), (0.01, "0.01"), (1e-4, "0.0001"), (1e-5, "1e-5"),
        (2.5e-6, "2.5e-6"), (1e6, "1e6"), (0.123456, "0.123"), (1.0, "1"),
    ],
)  # fmt: skip
def test_writes_rates_in_short_form(value, text):
    assert style.rate_text(value) == text


@pytest.mark.parametrize(
    ("low", "high"), [(0.05, 0.45), (1e-3, 1e3), (0.101, 0.109), (0.09, 0.11), (2.0, 7.0)]
)
def test_log_ticks_are_inside_and_at_least_two(low, high):
    ticks = style.log_ticks(low, high)
    assert 2 <= len(ticks) <= 9
    assert all(low <= t <= high for t in ticks)
    assert ticks == sorted(ticks)


def test_thins_crowded_ticks_but_keeps_the_ends():
    assert style.thin([0.0, 0.1, 0.2, 0.3, 1.0], 0.2) == [0, 2, 4]
    assert style.thin([0.0, 1.0, 2.0], 0.5) == [0, 1, 2]
    assert style.thin([0.0], 0.5) == [0]
    assert style.thin([], 0.5) == []


@pytest.mark.parametrize(
    "values", [[], [nan], [0.0], [0.3], [0.3, 0.3], [0.1, 0.4, nan, float("inf"), -1.0]]
)
def test_a_loss_range_is_positive_and_not_empty(values):
    low, high = style.loss_range(values)
    assert 0 < low < high
    assert all(low <= v <= high for v in values if 0 < v < 1e9)


def test_lines_differ_in_colour_and_marker_and_a_variant_keeps_its_look():
    looks = style.looks(["mupc", "sp", "bp", "mine", "yours"])
    assert len({look.color for look in looks.values()}) == 5
    assert len({look.marker for look in looks.values()}) == 5
    assert style.looks(["bp"])["bp"] == looks["bp"]
    many = style.sequence(7)
    assert len({look.marker for look in many}) == 7
    assert len({to_hex(look.color) for look in many}) == 7


MOVED = [
    *seeds(0.1, 1, 0.1, 0.3),
    *seeds(0.1, 1, 0.2, "diverged", depth=64),
    *[at_chance(0.1, 1, seed, depth=128) for seed in (0, 1)],
    *seeds(0.1, 1, "diverged", depth=256),
    *seeds(0.1, 1, 0.05, width=64),
]


def test_points_are_means_over_trained_seeds_with_other_outcomes():
    table = scaling.points(frame(*MOVED), "final_train_loss").set_index(["width", "depth"])
    expected = {
        (32, 8): (0.2, sqrt(0.02), "trained", 0, 2),
        (32, 64): (0.2, nan, "trained", 1, 2),
        (32, 128): (nan, nan, "none", 0, 2),  # runs at chance have an accuracy and no loss
        (32, 256): (nan, nan, "none", 1, 1),
        (64, 8): (0.05, nan, "trained", 0, 1),
    }
    assert set(table.index) == set(expected)
    for shape, (mean, std, kind, diverged, count) in expected.items():
        row = table.loc[shape]
        assert row["mean"] == pytest.approx(mean, nan_ok=True)
        assert row["std"] == pytest.approx(std, nan_ok=True)
        assert (row["kind"], row["diverged"], row["seeds"]) == (kind, diverged, count)


def test_accuracy_is_in_per_cent():
    table = scaling.points(frame(run(0.1, 1, 0.2, test_accuracy=0.875)), "test_accuracy")
    assert list(table["mean"]) == [87.5]


def test_points_of_accuracy_are_those_of_runs_at_chance_where_none_trained():
    table = scaling.points(frame(*MOVED), "test_accuracy").set_index(["width", "depth"])
    assert table.loc[(32, 128), "kind"] == "at_chance"
    assert table.loc[(32, 128), "mean"] > 0


def test_axes_are_not_stretched_by_losses_of_runs_at_chance():
    """A deep SP network can begin at 1e7, and stay there."""
    good, bad = run(0.1, 1, 0.2), at_chance(0.1, 1, seed=1)
    points = [*curve(good), *({**point, "train_loss": 3e7} for point in curve(bad))]
    figure = training.draw(pd.DataFrame(points), frame(good, bad))
    assert figure.axes[0].get_ylim()[1] < 100


def test_chance_level_is_the_median_of_runs_at_chance():
    assert scaling.chance_level(frame(*MOVED)) == pytest.approx(0.1)
    assert scaling.chance_level(frame(run(0.1, 1, 0.2))) is None


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(32, 8), (32, 64)], ["N = 32"]),
        ([(32, 8), (64, 8)], ["H = 8"]),
        ([(32, 8), (32, 64), (64, 8)], ["N = 32", "H = 8"]),
        ([(64, 16), (64, 32)], ["N = 64"]),
    ],
)
def test_sweeps_go_through_the_tuned_shape(shapes, expected):
    rows = frame(*[run(width=w, depth=d) for w, d in shapes])
    assert [sweep.title for sweep in scaling.sweeps(rows, Shape(32, 8))] == expected


def test_draws_a_star_only_where_another_cell_is_better():
    rows = frame(*seeds(0.1, 1, 0.1), *seeds(0.1, 1, 0.3, depth=64))
    better = frame(*seeds(0.1, 1, 0.1), *seeds(0.5, 1, 0.2, depth=64))
    along = scaling.sweeps(rows, Shape(32, 8))
    figure = scaling.draw(rows, lowest(better), along, None)
    [(depth, loss)] = marked(figure.axes[0], "*")
    assert (depth, loss) == (pytest.approx(64), pytest.approx(0.2))


def curves_of(rows):
    return pd.DataFrame([point for row in rows for point in curve(row)])


def test_training_curves_average_trained_seeds_and_end_diverged_ones_in_a_cross():
    rows = [*seeds(0.1, 1, 0.1, 0.3, "diverged")]
    data = curves_of(rows)
    figure = training.draw(data, frame(*rows))
    axes = figure.axes[0]
    trained = data[data["run_id"].isin([rows[0]["run_id"], rows[1]["run_id"]])]
    mean = next(line for line in axes.lines if line.get_linewidth() == 1.8)
    expected = trained.groupby("step")["train_loss"].mean()
    np.testing.assert_allclose(mean.get_ydata(), expected)
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [float(line.get_xdata()[0]) for line in crosses] == [80.0]


def layers_of(rows):
    return pd.DataFrame([layer for row in rows for layer in layers(row)])


def test_depth_panel_has_the_median_change_of_every_layer():
    rows = [
        run(0.1, 1, 0.1, depth=3, seed=0),  # all 4 layers learned
        run(0.1, 1, 0.1, depth=3, seed=1, layers_learned=1),
        run(0.1, 1, 0.1, depth=3, seed=2, layers_learned=2),
        run(0.1, 1, 0.1, depth=3, seed=3, outcome="diverged"),  # has no changes
    ]
    [axes] = depth.draw(layers_of(rows), frame(*rows)).axes
    line, threshold = axes.lines
    np.testing.assert_allclose(line.get_xdata(), [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(line.get_ydata(), [depth.LOWEST, depth.LOWEST, 0.5, 0.5])
    assert set(threshold.get_ydata()) == {pccore.LEARNED}


FIGURES = {
    "depth": lambda: depth.draw(layers_of(MOVED), frame(*MOVED)),
    "landscape": lambda: heatmap.draw(drawn(GRID)),
    "profile": lambda: profile.draw(panels(frame(*BP), verdicts(), "bp"), frame(*BP)),
    "scaling": lambda: scaling.draw(
        frame(*MOVED), lowest(frame(*MOVED)), scaling.sweeps(frame(*MOVED), Shape(32, 8)), 0.1
    ),
    "training": lambda: training.draw(curves_of(MOVED), frame(*MOVED)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_png_is_an_image_of_the_figures_size(name):
    figure = FIGURES[name]()
    content = style.png(figure)
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.format == "PNG"
    inches = figure.get_size_inches() * style.PIXELS_PER_INCH
    assert image.size == tuple(int(side) for side in inches)
    assert len(image.convert("RGB").getcolors(maxcolors=2**24)) > 20  # something is drawn
    assert figure.get_figwidth() <= 12.4  # the page shows it at full size
    smallest = min(
        text.get_fontsize() for axes in figure.axes for text in [*axes.texts, axes.title]
    )
    assert smallest >= 8.5


def test_draws_dollar_signs_in_names_literally():
    rows = frame(*[r | {"variant": "$\\frac{"} for r in MOVED])
    figure = scaling.draw(rows, lowest(rows), scaling.sweeps(rows, Shape(32, 8)), None)
    assert style.png(figure)

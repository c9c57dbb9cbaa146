"""The report and the verdicts on the same ledger: the same best cells, the same losses."""

import random

import pytest
from transfer_fakes import FormulaPool, spec

import results
from pccore import Outcome, Status, TrainingConfig
from results.figures import law
from results.figures.cells import at_shape, best_cell, cell_of, lowest, records
from results.figures.panels import panels
from results.page.sections import Section, collect
from results.shapes import Shape
from transfer import Cell, Experiment, run

FRACTIONS = {"mostly trained": 0.8, "seldom trained": 0.4}


def chaotic(seed: int, trained: float):
    """Outcomes of every kind, drawn once per run; losses with one digit, so that many are equal."""

    def response(config: TrainingConfig, cell: Cell, lane: int) -> Outcome:
        network = config.network
        draw = random.Random(repr((seed, network.depth, cell, lane)))
        if draw.random() < trained:
            loss = draw.choice([0.1, 0.2, 0.3, 0.4, None, float("nan")])
            return Outcome(Status.TRAINED, loss, loss, loss, 0.9, steps=10)
        other = draw.choice([Status.AT_CHANCE, Status.DIVERGED, Status.FAILED])
        loss = 0.01 if other is Status.AT_CHANCE else None
        cause = "out of memory" if other is Status.FAILED else None
        return Outcome(other, loss, loss, loss, 0.1, steps=10, cause=cause)

    return response


CASES = [(seed, name) for seed in range(4) for name in FRACTIONS]


@pytest.fixture(scope="module", params=CASES, ids=str)
def section(request, tmp_path_factory: pytest.TempPathFactory) -> Section:
    seed, name = request.param
    ledger = results.open(tmp_path_factory.mktemp("ledger"), create=True)
    values = spec(tune={"seeds": 4}, transfer={"depths": [4], "neighbourhood": "all"})
    pool = FormulaPool(chaotic(seed, FRACTIONS[name]), lanes=100)
    run(Experiment.from_dict(values), ledger, pool)
    [found] = collect(ledger, "test")
    return found


def test_the_best_cell_of_the_runs_is_that_of_the_verdict(section: Section):
    for verdict in records(section.verdicts):
        shape = Shape(int(verdict["width"]), int(verdict["depth"]))
        best = best_cell(at_shape(section.runs, shape))
        if cell_of(verdict) is None:  # nothing was taken to the target
            assert best_cell(at_shape(section.runs, Shape(8, 2))) is None
        else:
            assert best == cell_of(verdict, "best_")


def test_panels_mark_the_cells_of_the_verdict(section: Section):
    by_shape = {panel.shape: panel for panel in panels(section.runs, section.verdicts, "mupc")}
    for verdict in records(section.verdicts):
        tuned = by_shape[Shape(8, 2)]
        assert tuned.optimum == tuned.transferred == cell_of(verdict)
        target = by_shape.get(Shape(8, int(verdict["depth"])))
        if target is not None:
            assert target.optimum == cell_of(verdict, "best_")
            assert target.transferred == cell_of(verdict)


def test_figures_draw_the_losses_and_rates_of_the_verdict(section: Section):
    least = {row["depth"]: row["loss"] for row in records(lowest(section.runs))}
    points = law.points(section.runs, section.verdicts, section.measured, "mupc")
    for verdict in records(section.verdicts):
        if cell_of(verdict, "best_") is None:
            continue
        assert least[verdict["depth"]] == pytest.approx(verdict["best_loss"])
        best = points[points["kind"].eq("best") & points["depth"].eq(verdict["depth"])]
        drawn = dict(zip(best["rate"], best["value"], strict=True))
        assert Cell(drawn["weight_lr"], drawn["activity_lr"]) == cell_of(verdict, "best_")


def test_outcomes_are_counted_as_the_verdict_counts_them(section: Section):
    for verdict in records(section.verdicts):
        here = section.runs[section.runs["depth"].eq(verdict["depth"])]
        counts = here["outcome"].value_counts()
        for outcome in set(Status) - {Status.PRUNED}:  # no run at a target is pruned
            assert verdict[f"runs_{outcome}"] == counts.get(outcome, 0)

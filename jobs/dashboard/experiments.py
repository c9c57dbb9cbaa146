"""What the page shows of one experiment: its sections, as the report has them."""

import pandas as pd

from jobs.dashboard.landscapes import Json, Landscapes
from jobs.dashboard.plain import number, plain, text
from results.figures.cells import at_cell, at_shape, by_shape, records
from results.figures.style import label
from results.landscape import Cell
from results.page import run_tables, verdict_table, wording
from results.page.conclusion import conclusion, named_groups, next_steps
from results.page.sections import Section
from results.row import Row
from results.shapes import Shape
from results.storage.announcements import Planned
from results.vocabulary import OutcomeLabel, flags

CURVE_METRICS = ("train_loss", "test_loss", "test_accuracy")
MOST_CURVES = 24
MOST_FAILURES = 100


def section_payload(section: Section, landscapes: Landscapes, planned: Planned | None) -> Json:
    """Return a section in JSON: conclusion, verdicts, landscapes, failures, settings."""
    verdicts = records(section.verdicts)
    return {
        "dataset": text(section.dataset),
        "activation": text(section.activation) if section.networks else "",
        "differs": {name: text(value) for name, value in section.differs.items()},
        "superseded": section.superseded,
        "left_out": section.left_out,
        "judged": bool(verdicts),
        "conclusion": text(conclusion(verdicts)),
        "steps": [
            {"about": text(step.about), "label": text(step.label), "advice": text(step.advice)}
            for step in next_steps(verdicts)
        ],
        "headlines": [
            {
                "name": text(line.name),
                "labels": [text(each) for each in line.labels],
                "sentence": text(line.sentence),
            }
            for line in wording.headlines(section)
        ],
        "matrix": _matrix(verdicts),
        "verdicts": _verdicts(section),
        "landscapes": landscapes.of_section(section, planned),
        "learned": _learned(section),
        "counts": _table(run_tables.counts_table(section.runs)),
        "failures": _failures(section.runs),
        "settings": _table(run_tables.settings_table(section)),
    }


def _matrix(verdicts: list[Row]) -> Json:
    """Return the verdicts by variant and rule, and by target."""
    targets = sorted({Shape(int(row["width"]), int(row["depth"])) for row in verdicts})
    rows = []
    for name, some in named_groups(verdicts):
        by_target = {Shape(int(row["width"]), int(row["depth"])): row for row in some}
        rows.append(
            {
                "name": text(name),
                "cells": [_matrix_cell(by_target.get(target)) for target in targets],
            }
        )
    return {"targets": [wording.size(target) for target in targets], "rows": rows}


def _matrix_cell(row: Row | None) -> Json | None:
    if row is None:
        return None
    return {
        "labels": [text(row["verdict"]), *flags(row)],
        "excess": wording.excess(row["regret"]),
        "interval": wording.interval(row["regret_low"], row["regret_high"], ratio=True),
        "reason": text(row["reason"]),
    }


def _verdicts(section: Section) -> Json:
    return {
        "networks": section.networks,
        "columns": verdict_table.verdict_columns(section.rates),
        "groups": [
            {
                "title": text(group.title),
                "rows": [
                    {
                        "target": text(row.target),
                        "labels": [text(row.label), *row.flags],
                        "numbers": [[text(value), text(remark)] for value, remark in row.numbers],
                        "reason": text(row.reason),
                    }
                    for row in group.rows
                ],
            }
            for group in verdict_table.verdict_groups(section)
        ],
    }


def _table(table: run_tables.Table) -> Json:
    return {
        "caption": text(table.caption),
        "columns": [text(name) for name in table.columns],
        "rows": [[text(cell) for cell in row] for row in table.rows],
        "headers": table.headers,
    }


def _learned(section: Section) -> list[Json]:
    """Return how many layers learned at the transferred cell, by variant and shape."""
    found = []
    for variant, shape, some in by_shape(section.moved):
        known = some[some["layers_learned"].notna()]
        if not known.empty:
            found.append(
                {
                    "label": label(variant),
                    "shape": wording.size(shape),
                    "learned": number(known["layers_learned"].median()),
                    "layers": number(known["layers"].iloc[0]),
                }
            )
    return found


def _failures(runs: pd.DataFrame) -> list[Json]:
    """Return the causes of runs without a result, and of divergence where it was recorded."""
    some = runs[runs["outcome"].eq(OutcomeLabel.FAILED) | runs["cause"].notna()]
    causes = some.assign(cause=some["cause"].fillna("no cause was recorded"))
    found: list[Json] = []
    for (outcome, cause), group in causes.groupby(["outcome", "cause"], sort=False):
        shapes = sorted(
            {Shape(int(w), int(d)) for w, d in zip(group.width, group.depth, strict=True)}
        )
        hosts = sorted({str(host) for host in group["host"].dropna()})
        found.append(
            {
                "outcome": text(str(outcome).replace("_", " ")),
                "cause": text(cause),
                "runs": len(group),
                "shapes": [wording.size(shape) for shape in shapes[:6]],
                "hosts": [text(host) for host in hosts[:6]],
                "example": text(group["run_id"].iloc[0]),
            }
        )
    return sorted(found, key=lambda each: -each["runs"])[:MOST_FAILURES]


def runs_at(section: Section, variant: str, shape: Shape, cell: Cell) -> pd.DataFrame:
    """Return the runs of a cell at a shape."""
    here = at_shape(section.runs[section.runs["variant"].eq(variant)], shape)
    return here[at_cell(here, cell)]


def curves_payload(runs: pd.DataFrame, curves: pd.DataFrame) -> Json:
    """Return the training curves of the runs of a cell, a line per run."""
    lines = []
    for row in records(runs.head(MOST_CURVES)):
        mine = curves[curves["run_id"].eq(row["run_id"])].sort_values("step")
        line: Json = {
            "run": text(row["run_id"]),
            "seed": number(row["seed"]),
            "outcome": text(row["outcome"]),
            "step": [number(step) for step in mine["step"]],
        }
        line |= {name: [number(value) for value in mine[name]] for name in CURVE_METRICS}
        lines.append(line)
    return {"runs": len(runs), "lines": lines}


def layers_payload(moved: pd.DataFrame, layers: pd.DataFrame) -> list[Json]:
    """Return the median change of each layer at the transferred cell, by variant and shape."""
    found = []
    for variant, shape, some in by_shape(moved):
        mine = layers[layers["run_id"].isin(some["run_id"])]
        if mine.empty:
            continue
        change = mine.groupby("layer")["change"].median()
        found.append(
            {
                "variant": text(variant),
                "label": label(variant),
                "shape": wording.size(shape),
                "layer": [number(layer) for layer in change.index],
                "change": [number(value) for value in change],
            }
        )
    return found


def table_payload(frame: pd.DataFrame, columns: list[str], first: int, count: int) -> Json:
    """Return a page of rows of a frame."""
    rows = frame.iloc[first : first + count][columns]
    return {
        "columns": columns,
        "first": first,
        "total": len(frame),
        "rows": [[plain(_null(value)) for value in row] for row in rows.itertuples(index=False)],
    }


def _null(value: object) -> object:
    return None if value is pd.NA or value is pd.NaT else value

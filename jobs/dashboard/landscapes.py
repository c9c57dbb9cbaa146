"""Landscapes for the page: cells, best and transferred cell, and where the optimum lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jobs.dashboard.plain import number
from results.figures.cells import (
    CELL_KEYS,
    at_shape,
    cell_of,
    column_of,
    landscape,
    rates_of_runs,
    records,
)
from results.figures.panels import Panel, panels
from results.figures.slices import sliced
from results.figures.style import label
from results.landscape import Cell, Landscape
from results.page.sections import Section
from results.page.wording import rates as rates_text
from results.page.wording import size
from results.row import Row
from results.shapes import Shape
from results.storage.announcements import Planned
from results.vocabulary import OutcomeLabel, rate_label, rate_symbol
from transfer.judge.credible import CredibleRegion, credible_region

Json = dict[str, Any]


def axes_of(runs: pd.DataFrame) -> tuple[str, ...]:
    """Return the rates along the axes, one or two: of many rates, two that have several values."""
    rates = [rate for rate in rates_of_runs(runs) if runs[column_of(rate)].notna().any()]
    varied = [rate for rate in rates if runs[column_of(rate)].nunique() > 1]
    return tuple(dict.fromkeys([*varied, *rates]))[:2] if len(rates) > 2 else tuple(rates)


@dataclass(frozen=True)
class Waiting:
    """The cells that a variant searches, of which some may not have run."""

    shapes: frozenset[Shape]
    cells: list[list[float]]

    def at(self, shape: Shape, ran: list[Json]) -> list[list[float]]:
        """Return the cells that have not run at a shape."""
        if shape not in self.shapes:
            return []
        done = {tuple(cell["at"]) for cell in ran}
        return [at for at in self.cells if tuple(at) not in done]


class Landscapes:
    """Makes landscapes; the regions of optima, which take longest, are made once."""

    MOST_KNOWN = 2_000

    def __init__(self) -> None:
        self._regions: dict[bytes, CredibleRegion | None] = {}

    def of_section(self, section: Section, planned: Planned | None) -> list[Json]:
        """Return the landscapes of every variant of a section, by shape."""
        return [self._variant(section, variant, planned) for variant in section.variants]

    def _variant(self, section: Section, variant: str, planned: Planned | None) -> Json:
        runs = section.runs[section.runs["variant"].eq(variant)]
        drawn = panels(section.runs, section.verdicts, variant)
        rates = {} if planned is None else planned.rates.get(variant, {})
        names = axes_of(runs)
        cut, how = sliced(drawn, (names[0], names[-1])) if names else (drawn, "")
        extra = _means(runs)
        every = _waiting(planned, rates, names)
        shown = [self._panel(panel, runs, names, extra, every) for panel in cut]
        if planned is not None and names:
            there = {panel.shape for panel in drawn}
            waiting = [Shape(*pair) for pair in planned.shapes if Shape(*pair) not in there]
            shown += [_empty(shape, every) for shape in waiting]
            shown.sort(key=lambda each: (each["width"], each["depth"]))
        return {
            "variant": variant,
            "label": label(variant),
            "slice": how if len(names) < len(rates_of_runs(runs)) else "",
            "axes": [
                {"name": name, "symbol": rate_symbol(name), "label": rate_label(name)}
                for name in names
            ],
            "panels": shown,
        }

    def _panel(
        self,
        panel: Panel,
        runs: pd.DataFrame,
        names: Sequence[str],
        extra: Mapping[tuple[object, ...], Row],
        waiting: Waiting,
    ) -> Json:
        here = at_shape(runs, panel.shape)
        cells = [_cell(cell, names, extra) for cell in records(panel.cells)]
        region = self._region(landscape(here))
        return {
            **_shape(panel.shape),
            "note": panel.note,
            "cells": cells,
            "best": _point(panel.optimum, names),
            "transferred": _point(panel.transferred, names),
            "region": None if region is None else _region(region, names),
            "planned": waiting.at(panel.shape, cells),
        }

    def _region(self, found: Landscape) -> CredibleRegion | None:
        key = repr(found.cells).encode() + found.losses.tobytes()
        if key not in self._regions:
            if len(self._regions) >= self.MOST_KNOWN:
                self._regions.clear()
            self._regions[key] = credible_region(found)
        return self._regions[key]


def _shape(shape: Shape) -> Json:
    return {"width": shape.width, "depth": shape.depth, "shape": size(shape)}


def _empty(shape: Shape, waiting: Waiting) -> Json:
    return {
        **_shape(shape),
        "note": "not started",
        "cells": [],
        "best": None,
        "transferred": None,
        "region": None,
        "planned": waiting.at(shape, []),
    }


def _means(runs: pd.DataFrame) -> dict[tuple[object, ...], Row]:
    """Return what a cell shows on hover besides its loss, by its keys."""
    trained = runs["outcome"].eq(OutcomeLabel.TRAINED)
    frame = runs.assign(accuracy=runs["test_accuracy"].where(trained))
    by = frame.groupby(CELL_KEYS, dropna=False)
    found = by.agg(
        accuracy=("accuracy", "mean"),
        learned=("layers_learned", "median"),
        layers=("layers", "max"),
        spread=("final_train_loss", "std"),
    ).reset_index()
    return {_key(row): row for row in records(found)}


def _key(row: Row) -> tuple[object, ...]:
    return tuple(None if row[name] != row[name] else row[name] for name in CELL_KEYS)


def _cell(cell: Row, names: Sequence[str], extra: Mapping[tuple[object, ...], Row]) -> Json:
    more = extra.get(_key(cell), {})
    whole = cell_of(cell)
    return {
        "at": [number(cell[column_of(name)]) for name in names],
        "rates": {} if whole is None else dict(whole),
        "loss": number(cell["loss"]),
        "spread": number(more.get("spread")),
        "outcome": cell["outcome"],
        "counts": {str(o): int(cell[o]) for o in OutcomeLabel if cell[o]},
        "accuracy": number(more.get("accuracy")),
        "learned": number(more.get("learned")),
        "layers": number(more.get("layers")),
    }


def _point(cell: Cell | None, names: Sequence[str]) -> Json | None:
    if cell is None:
        return None
    return {"at": [cell.get(name) for name in names], "text": rates_text(cell)}


def _waiting(
    planned: Planned | None, rates: Mapping[str, tuple[float, ...]], names: Sequence[str]
) -> Waiting:
    """Return the cells that a variant searches at the tuned shapes."""
    if planned is None or set(rates) != set(names):
        return Waiting(frozenset(), [])
    lists = np.meshgrid(*(rates[name] for name in names))
    every = np.stack(lists, -1).reshape(-1, len(names)).tolist()
    tuned = planned.shapes[: planned.tuned]
    return Waiting(frozenset(Shape(*pair) for pair in tuned), every)


def _region(region: CredibleRegion, names: Sequence[str]) -> Json:
    estimates = {
        name: [number(found.value), number(found.low), number(found.high)]
        for name, found in region.estimates.items()
    }
    outline = _outline(region) if tuple(region.rates) == tuple(names) and len(names) == 2 else []
    return {"estimates": estimates, "outline": outline}


def _outline(region: CredibleRegion) -> list[list[list[float]]]:
    """Return the border of the tiles, as segments: sides that belong to one tile alone."""
    sides: dict[tuple[object, ...], list[list[float]]] = {}
    for (x0, x1), (y0, y1) in region.tiles:
        corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        for one, other in zip(corners, corners[1:] + corners[:1], strict=True):
            ends = sorted(tuple(np.log2(end).round(6) + 0.0) for end in (one, other))
            key = tuple(ends)
            if key in sides:
                del sides[key]
            else:
                sides[key] = [one, other]
    return list(sides.values())

"""`mupc pruning`: from finished runs, whether the search could stop cells early."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import results
from jobs.cli.json_output import print_json
from jobs.cli.tables import missing, number, plain_table, screen
from jobs.cli.terminal import say
from results.early_losses import FEWEST_CELLS, REGRET, EarlyLosses, Horizon
from results.errors import unknown
from transfer.search.false_kills import PrunerReplay, replay_pruners
from transfer.search.pruning import PRUNERS, Geometric, geometric

EARLIEST = 32
"""The first horizon on the screen is this part of the training, and each further one doubles."""
MEANING = (
    "correlation: Spearman's, of the loss of one seed then with the final loss of the cell. keep: "
    "share of the cells that must continue then for none within 5% of the best to be stopped. "
    "false kills: how many of these a pruner stops; misses: seeds with which the search, having "
    "finished the neighbours of its best cell, has found none of them."
)


def show_pruning(ledger: str, experiment: str | None, first: int | None, *, as_json: bool) -> None:
    """Print the horizons and the false kills of every landscape as tables or JSON."""
    opened = results.open(ledger)
    if experiment is not None and experiment not in opened.experiments():
        raise unknown("experiment", experiment, opened.experiments())
    found = opened.early_losses(**({} if experiment is None else {"experiment": experiment}))
    pruners = {name: PRUNERS[name]() for name in PRUNERS}
    if first is not None:
        pruners = {
            name: replace(pruner, first=first)
            for name, pruner in pruners.items()
            if isinstance(pruner, Geometric)
        }
    replays = [replay_pruners(each, pruners) for each in found]
    if as_json:
        shapes = [_facts(*pair) for pair in zip(found, replays, strict=True)]
        print_json("pruning", {"regret": REGRET, "shapes": shapes})
        return
    if not found:
        print(f"no runs that differ in rates alone have {FEWEST_CELLS} finished cells with curves")
        return
    for each, of_pruners in zip(found, replays, strict=True):
        _show(each, _differing(each, found), of_pruners)
    say(MEANING)


def _facts(early: EarlyLosses, replays: dict[str, PrunerReplay]) -> dict[str, object]:
    return {
        "variant": early.variant,
        "activation": early.settings["activation"],
        "dataset": early.settings["dataset"],
        "width": early.shape.width,
        "depth": early.shape.depth,
        "cells": len(early.cells),
        "seeds": early.seeds,
        "good": int(early.good().sum()),
        "pruned": early.pruned,
        "horizons": [asdict(horizon) for horizon in early.horizons()],
        "pruners": {
            name: asdict(each) | {"false_kill_rate": each.false_kill_rate}
            for name, each in replays.items()
        },
    }


def _differing(early: EarlyLosses, found: Sequence[EarlyLosses]) -> str:
    """Return the settings in which landscapes of the same variant and shape differ."""
    alike = [e for e in found if (e.variant, e.shape) == (early.variant, early.shape)]
    names = [
        name for name in early.settings if len({str(each.settings[name]) for each in alike}) > 1
    ]
    known = {name: early.settings[name] for name in names}
    return "".join(f", {name} {value}" for name, value in known.items() if not missing(value))


def _show(early: EarlyLosses, differing: str, replays: dict[str, PrunerReplay]) -> None:
    console, shape = screen(), early.shape
    left_out = (
        f"; {early.pruned} more were stopped early and are left out, so that pruning looks safer"
        if early.pruned
        else ""
    )
    console.print(
        f"{early.variant}, {shape.width} x {shape.depth}{differing}: {len(early.cells)} cells, "
        f"{early.seeds} seeds, {early.good().sum()} within {REGRET:.0%} of the best{left_out}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    table = plain_table(["updates", "of all", "correlation", "keep"])
    for horizon in _shown(early):
        share = "-" if horizon.keep is None else f"{horizon.keep:.0%}"
        cells = [str(horizon.updates), f"{horizon.share:.0%}", number(horizon.correlation, 2)]
        table.add_row(*cells, share)
    console.print(table)
    table = plain_table(
        ["pruner", "rungs", "false kills", "misses", "updates"], ("pruner", "rungs")
    )
    for name, each in replays.items():
        table.add_row(
            name,
            ", ".join(map(str, each.rungs)),
            f"{each.stopped} of {each.good}",
            f"{each.missed} of {each.searches}",
            f"{each.updates:.0%}",
        )
    if replays:
        console.print(table)
    else:
        console.print("  no evaluation before the last update at which a pruner could decide")
    console.print()


def _shown(early: EarlyLosses) -> list[Horizon]:
    """Return the horizons on the screen: a few of all, and the end."""
    last, first = int(early.updates[-1]), int(early.updates[0])
    wanted = {*geometric(last / EARLIEST, 2, last, first), last}
    return [horizon for horizon in early.horizons() if horizon.updates in wanted]

"""Execution of recipes; runs that the ledger has are not repeated."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pccore
import transfer
from experiments.cost import blocking, missing
from experiments.evidence import CALCULATED, Evidence, gather
from experiments.recipe import Recipe, Row, Setting
from experiments.scale import Scale

if TYPE_CHECKING:
    from results import Ledger
    from transfer import Pool, Progress


def perform(
    recipe: Recipe,
    scale: Scale,
    ledger: "Ledger",
    pool: "Pool",
    *,
    progress: "Progress | None" = None,
    data_dir: Path | None = None,
) -> Evidence:
    """Run or continue a recipe, and return its evidence from the ledger.

    Without one of several data sets the runs on the others are trained; nothing is calculated.

    Args:
        recipe: the recipe to run.
        scale: its scale.
        ledger: receives every run and measurement.
        pool: trains the networks; it is left open.
        progress: receives progress callbacks.
        data_dir: folder of the data sets; None means the default place.

    Raises:
        pccore.data.DatasetError: all data sets that the recipe needs are missing, or one is
            damaged. It is raised before anything runs.
    """
    setting, name = recipe.at(scale), recipe.experiment(scale)
    absent = missing(setting, data_dir)
    for dataset in blocking(setting, data_dir):
        pccore.data.find(dataset, data_dir)
    if progress is not None:
        progress.phase("calculate", 0, 0)
    if not absent:
        _calculate(setting, name, ledger, data_dir)
    runs = [run for run in setting.runs(data_dir) if run.dataset not in absent]
    transfer.train(name, runs, ledger, pool, progress=progress, data_dir=data_dir)
    for experiment in setting.experiments():
        if experiment.data.name in absent:
            continue
        named = experiment.model_copy(update={"name": f"{name}-{experiment.name}"})
        transfer.run(named, ledger, pool, progress=progress, data_dir=data_dir)
    return gather(ledger, name)


def _calculate(setting: Setting, name: str, ledger: "Ledger", data_dir: Path | None) -> None:
    """Calculate once; publish all rows together with the duration."""
    if setting.calculate is None:
        return
    stamp = {"experiment": name, "conventions": pccore.CONVENTIONS, "settings": setting.text}
    done = ledger.measurements(quantity=CALCULATED, experiment=name, settings=setting.text)
    if (done["conventions"] == pccore.CONVENTIONS).any():
        return
    clock = time.perf_counter()
    rows: list[Row] = [
        {"experiment": name, "conventions": pccore.CONVENTIONS, **row}
        for row in setting.calculate(data_dir)
    ]
    seconds = time.perf_counter() - clock
    rows.append({**stamp, "quantity": CALCULATED, "value": seconds, "unit": "s"})
    now = ledger.now()
    ledger.append_measurements([{"created": now, **row} for row in rows])

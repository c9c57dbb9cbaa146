"""Estimates of a recipe's cost: multiply-adds, and their time on a CPU core or a GPU."""

from dataclasses import dataclass
from pathlib import Path

import pccore
from experiments.recipe import Setting
from experiments.settings import digest
from jobs.pools.timing import COMPILE_SECONDS, PEAK_RATES
from transfer.engine.grouping import work
from transfer.engine.plan import Plan

CORE_RATE = PEAK_RATES["cpu"]
"""Multiply-adds per second of training on one CPU core."""

GPU_RATE = 1e13
"""Multiply-adds per second on an H100: predicted by docs/performance.md, not measured."""


@dataclass(frozen=True)
class Cost:
    """The estimated cost of a recipe at one scale.

    Attributes:
        runs: upper bound on the number of networks to train.
        core_seconds: time on one CPU core.
        gpu_hours: time on one H100.
    """

    runs: int
    core_seconds: float
    gpu_hours: float


def cost(setting: Setting, data_dir: Path | None) -> Cost:
    """Estimate the cost of a setting; its data sets need not be available."""
    runs = list(setting.runs(data_dir))
    count, total = len(runs), sum(work(run.config) for run in runs)
    programs = len({run.config for run in runs})
    for experiment in setting.experiments():
        data = experiment.data
        plan = Plan(experiment, data, digest(data.name, data_dir), data_dir)
        shapes = (experiment.tune.shape, *experiment.targets)
        programs += len({plan.config(arm, shape) for arm in plan.arms for shape in shapes})
        for arm in plan.arms:
            for planned in plan.remaining(arm, plan.trials(arm)):
                count, total = count + planned.runs, total + planned.work
    return Cost(
        runs=count,
        core_seconds=total / CORE_RATE + programs * COMPILE_SECONDS + setting.seconds,
        gpu_hours=(total / GPU_RATE + programs * COMPILE_SECONDS + setting.seconds) / 3600,
    )


def missing(setting: Setting, data_dir: Path | None) -> list[str]:
    """Return the names of the data sets that the setting needs but that are not available."""
    absent = []
    for name in setting.datasets:
        try:
            pccore.data.find(name, data_dir)
        except pccore.data.DatasetError:
            absent.append(name)
    return absent


def blocking(setting: Setting, data_dir: Path | None) -> list[str]:
    """Return the missing data sets of a setting that has none of those it needs, or no names.

    With one of several data sets, the runs on it are trained.
    """
    absent = missing(setting, data_dir)
    return absent if set(absent) == set(setting.datasets) else []

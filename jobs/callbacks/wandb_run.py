"""Weights & Biases: one run of it per experiment, without the network by default."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobs.bridges.extras import require
from pccore import Outcome
from transfer.engine.progress import Progress
from transfer.engine.runs import AnyRun

if TYPE_CHECKING:
    from results import Ledger

Mode = Literal["offline", "online"]


class WandbRun(Progress):
    """A run of Weights & Biases with a step for every network that is trained, and the verdicts.

    A step has the variant's losses and accuracy, its shape and its learning rates. The verdicts are
    in the summary. `wandb sync FOLDER/wandb/offline-run-*` uploads an offline run.

    Args:
        project: the project.
        folder: where `wandb` is written; by default the current folder.
        mode: "offline" sends nothing.

    Raises:
        CommandError: the package wandb is not installed.
    """

    def __init__(
        self, project: str = "mupc", folder: Path | str | None = None, mode: Mode = "offline"
    ) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        self._wandb = require("wandb", "wandb", "WandbRun")
        self._project, self._folder, self._mode = project, folder, mode
        self._run: Any = None

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        """Start a run of the experiment's name."""
        self._run = self._wandb.init(
            project=self._project,
            name=experiment,
            dir=None if self._folder is None else str(self._folder),
            mode=self._mode,
            config={"experiment": experiment},
            settings=self._wandb.Settings(silent=True, console="off", disable_git=True),
            reinit="create_new",
        )

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Log a network."""
        found = {
            "width": run.shape.width,
            "depth": run.shape.depth,
            **run.cell,
            "seed": run.lane.seed,
            f"{run.variant}/trained": int(outcome.final_train_loss is not None),
            f"{run.variant}/final_train_loss": outcome.final_train_loss,
            f"{run.variant}/test_accuracy": outcome.test_accuracy,
        }
        self._run.log({name: value for name, value in found.items() if value is not None})

    def verdict(self, row: Mapping[str, object]) -> None:
        """Store a verdict in the summary."""
        where = f"{row['variant']} {row['width']}x{row['depth']} {row['rule']}"
        self._run.summary[f"verdict/{where}"] = str(row["verdict"])

    def end(self, error: BaseException | None) -> None:
        """Finish the run."""
        self._run.finish(exit_code=0 if error is None else 1)

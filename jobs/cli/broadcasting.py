"""What a cluster sees of a running experiment: its progress in a file, and metrics of Ray."""

import threading
from contextlib import suppress
from typing import Self

from jobs.cli.statistics import RunStatistics
from jobs.cluster.job_progress import JobProgress, own_file
from pccore import Status
from results.uri import shown

SECONDS = 2.0
"""Interval between two updates."""


def job_progress(statistics: RunStatistics, ledger: str = "") -> JobProgress:
    """Return statistics as others read them, with the place of the ledger."""
    return JobProgress(
        phase=statistics.phase_name,
        done=statistics.done,
        total=statistics.total,
        failed=statistics.ended[Status.FAILED],
        lanes=statistics.lanes,
        runs_per_minute=statistics.runs_per_minute,
        gflops=statistics.gflops,
        seconds=statistics.elapsed,
        seconds_left=statistics.time_left,
        troubles=statistics.troubles,
        ledger=shown(ledger),
    )


class ClusterProgress:
    """Context manager that updates the file of the job and the metrics while it is open.

    Neither may end the experiment: what fails is left out.

    Args:
        statistics: of the experiment.
        experiment: its name.
        ledger: where its runs are stored.
        seconds: interval between two updates.
    """

    def __init__(
        self,
        statistics: RunStatistics,
        experiment: str,
        ledger: str = "",
        seconds: float = SECONDS,
    ) -> None:
        from jobs.pools.ray_metrics import RayMetrics

        self._statistics, self._ledger, self._seconds = statistics, ledger, seconds
        self._file, self._metrics = own_file(), RayMetrics(experiment)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_updating, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._thread.join()
        self._update()

    def _keep_updating(self) -> None:
        while not self._closing.is_set():
            self._update()
            self._closing.wait(self._seconds)

    def _update(self) -> None:
        with suppress(Exception):
            found = job_progress(self._statistics, self._ledger)
            self._metrics.set(
                done=found.done,
                total=found.total,
                lanes=found.lanes,
                failed=found.failed,
                seconds_left=found.seconds_left,
            )
            if self._file is not None:
                found.write(self._file)

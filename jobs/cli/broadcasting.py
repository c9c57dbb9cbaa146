"""What a cluster sees of a running experiment: its progress in a file, and metrics of Ray."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jobs.cli.repeating import repeated
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


@contextmanager
def seen_by_cluster(
    statistics: RunStatistics, experiment: str, ledger: str = "", seconds: float = SECONDS
) -> Iterator[None]:
    """Update the file of the job and the metrics, every few seconds and at the end.

    Neither may end the experiment: what fails is left out.

    Args:
        statistics: of the experiment.
        experiment: its name.
        ledger: where its runs are stored.
        seconds: interval between two updates.
    """
    from jobs.pools.ray_metrics import RayMetrics

    file, metrics = own_file(), RayMetrics(experiment)

    def update() -> None:
        with suppress(Exception):
            found = job_progress(statistics, ledger)
            metrics.set(
                done=found.done,
                total=found.total,
                lanes=found.lanes,
                failed=found.failed,
                seconds_left=found.seconds_left,
            )
            if file is not None:
                found.write(file)

    update()
    try:
        with repeated(update, lambda: seconds):
            yield
    finally:
        update()

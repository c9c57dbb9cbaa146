"""The progress of an experiment as metrics of Ray, which its dashboard and Prometheus show."""

from ray.util.metrics import Counter, Gauge

GAUGES = {
    "mupc_runs_done": "Runs of the experiment that are in the ledger.",
    "mupc_runs_total": "Runs of the experiment, as far as known.",
    "mupc_lanes": "Runs that are in training.",
    "mupc_seconds_left": "Estimated seconds until the experiment ends; -1 if unknown.",
}
FAILED = "mupc_runs_failed"
_TAG = "experiment"


class RayMetrics:
    """Metrics of one experiment. Ray must be connected.

    Args:
        experiment: its name, the tag of every metric.
    """

    def __init__(self, experiment: str) -> None:
        self._tags = {_TAG: experiment}
        self._gauges = {name: Gauge(name, text, (_TAG,)) for name, text in GAUGES.items()}
        self._failures = Counter(FAILED, "Runs of the experiment that failed.", (_TAG,))
        self._failed = 0

    def set(
        self, *, done: int, total: int, lanes: int, failed: int, seconds_left: float | None
    ) -> None:
        """Set all metrics."""
        left = -1.0 if seconds_left is None else seconds_left
        for gauge, value in zip(self._gauges.values(), (done, total, lanes, left), strict=True):
            gauge.set(float(value), self._tags)
        if failed > self._failed:
            self._failures.inc(float(failed - self._failed), self._tags)
            self._failed = failed

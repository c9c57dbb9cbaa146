"""Estimate of the time left, from the groups that have been trained so far."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from jobs.pools.calibration import kind
from jobs.pools.timing import COMPILE_SECONDS, step_work
from transfer.engine.grouping import steps, updates
from transfer.engine.pool import Config, Group, GroupResult
from transfer.functions import FunctionConfig

COMPILED_SHARE = 0.05
"""The least share of a group's time that counts as the compilation of its program."""


class TimeLeft:
    """Estimates the seconds until a job is done.

    The work left is counted in weight updates, by configuration. An update costs what it took in
    the groups of that configuration, or else in those of the nearest in work of the same rule, in
    proportion to the work. Runs that diverge make fewer updates than requested; the share that was
    made is learned too. Every program that is still to come is compiled once.

    Between two reports the estimate counts down, but no further than to the end of the groups in
    training: while these take longer than expected, it stands still.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: defaultdict[Config, float] = defaultdict(float)
        self._made: Counter[Config] = Counter()  # updates
        self._asked: Counter[Config] = Counter()
        self._compiled: dict[Config, float] = {}
        self._left: float | None = None
        self._until_next = 0.0
        self._since = clock()

    def trained(self, result: GroupResult) -> None:
        """Learn from a group that has been trained."""
        config = result.group.config
        made = updates(result)
        if not made:  # it failed, or was measured untrained
            return
        self._made[config] += made
        self._asked[config] += steps(config) * len(result.outcomes)
        self._seconds[config] += max(result.seconds - result.compile_seconds, 0.0)
        if result.compile_seconds > COMPILED_SHARE * result.seconds:
            longest = self._compiled.get(config, 0.0)
            self._compiled[config] = max(longest, result.compile_seconds)

    def report(self, runs: Mapping[Config, int], training: Sequence[Group], slots: int) -> None:
        """Receive what is left: runs by configuration, those in training included.

        Args:
            runs: how many runs are left.
            training: the groups that the pool has.
            slots: the number of groups that train at the same time.
        """
        self._since = self._clock()
        if not self._made:
            return
        groups = [self._group_seconds(group.config, len(group.lanes)) for group in training]
        whole = sum(
            count * self._run_seconds(config) + self._compile_seconds(config)
            for config, count in runs.items()
            if count > 0
        )
        self._left = max(whole / slots, max(groups, default=0.0))
        self._until_next = sum(groups) / slots

    def compiling(self, training: Sequence[Group]) -> int:
        """Return how many programs have not returned a result yet."""
        programs = {
            group.config for group in training if not isinstance(group.config, FunctionConfig)
        }
        return len(programs - self._made.keys())

    @property
    def seconds(self) -> float | None:
        """Seconds left; None if nothing has been trained yet."""
        if self._left is None:
            return None
        passed = self._clock() - self._since
        return max(self._left - min(passed, self._until_next), 0.0)

    def _group_seconds(self, config: Config, lanes: int) -> float:
        return lanes * self._run_seconds(config) + self._compile_seconds(config)

    def _run_seconds(self, config: Config) -> float:
        """Return the expected seconds of one lane, without compilation."""
        near = self._nearest(config, self._made)
        scale = step_work(config) / step_work(near)
        share = self._made[config] / self._asked[config] if config in self._made else 1.0
        return steps(config) * share * scale * self._seconds[near] / self._made[near]

    def _compile_seconds(self, config: Config) -> float:
        """Return the seconds of the compilation that is to come; 0 if there was a result."""
        if config in self._made:
            return 0.0
        if not self._compiled:
            return COMPILE_SECONDS
        return self._compiled[self._nearest(config, self._compiled)]

    def _nearest(self, config: Config, known: Mapping[Config, float]) -> Config:
        """Return the known configuration with the nearest work, of the same kind if possible."""
        if config in known:
            return config
        alike = [other for other in known if kind(other) == kind(config)] or list(known)
        size = math.log(step_work(config))
        return min(alike, key=lambda other: abs(math.log(step_work(other)) - size))

"""Pools that train groups of runs on this machine or on a Ray cluster, and the command line.

`LocalPool` trains in threads of this process, `RayPool` in actors; both implement
`transfer.Pool`. `submit` hands an experiment to a cluster; `list_jobs`, `status`, `logs`, `follow`
and `stop` work on what was submitted (`jobs.submission`). Names are imported when first
used, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobs.errors import PoolError, SubmissionError, TokenError

if TYPE_CHECKING:
    from jobs.local import LocalPool
    from jobs.ray_pool import RayPool
    from jobs.submission import Job, JobStatus, follow, list_jobs, logs, status, stop, submit
    from jobs.worker import train_group

__all__ = [
    "Job",
    "JobStatus",
    "LocalPool",
    "PoolError",
    "RayPool",
    "SubmissionError",
    "TokenError",
    "follow",
    "list_jobs",
    "logs",
    "status",
    "stop",
    "submit",
    "train_group",
]


_SUBMISSION = ("Job", "JobStatus", "follow", "list_jobs", "logs", "status", "stop", "submit")
_HOMES = {
    "LocalPool": "jobs.local",
    "RayPool": "jobs.ray_pool",
    "train_group": "jobs.worker",
    **dict.fromkeys(_SUBMISSION, "jobs.submission"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jobs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

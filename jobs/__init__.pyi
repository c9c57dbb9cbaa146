from .cli.progress import ProgressDisplay
from .cluster.submit import Job, JobStatus, follow, list_jobs, logs, status, stop, submit
from .errors import PoolError, SubmissionError, TokenError
from .pools.local import LocalPool
from .pools.ray_pool import RayPool
from .pools.worker import train_group
from .sweep import sweep

__all__ = [
    "Job",
    "JobStatus",
    "LocalPool",
    "PoolError",
    "ProgressDisplay",
    "RayPool",
    "SubmissionError",
    "TokenError",
    "follow",
    "list_jobs",
    "logs",
    "status",
    "stop",
    "submit",
    "sweep",
    "train_group",
]

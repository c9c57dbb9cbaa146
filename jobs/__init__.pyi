from .callbacks.bar import ProgressBar
from .callbacks.live import LiveExport
from .callbacks.log import ProgressLog
from .callbacks.notify import Notifier
from .callbacks.wandb_run import WandbRun
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
    "LiveExport",
    "LocalPool",
    "Notifier",
    "PoolError",
    "ProgressBar",
    "ProgressDisplay",
    "ProgressLog",
    "RayPool",
    "SubmissionError",
    "TokenError",
    "WandbRun",
    "follow",
    "list_jobs",
    "logs",
    "status",
    "stop",
    "submit",
    "sweep",
    "train_group",
]

import jobs as jobs
import pccore as pccore
import results as results
import transfer as transfer
from jobs import (
    Job,
    JobStatus,
    LiveExport,
    LocalPool,
    Notifier,
    PoolError,
    ProgressBar,
    ProgressDisplay,
    ProgressLog,
    RayPool,
    SubmissionError,
    TokenError,
    WandbRun,
    follow,
    list_jobs,
    logs,
    status,
    stop,
    submit,
)
from pccore.data import Dataset, DatasetError
from results import LedgerError, columns, plot_landscape, report
from transfer import (
    Experiment,
    Ledger,
    Progress,
    SpecError,
    TransferResult,
    load,
    load_network,
    open,
    read_dataset,
    run,
)
from transfer import open as open_ledger

__version__: str

__all__ = [
    "Dataset",
    "DatasetError",
    "Experiment",
    "Job",
    "JobStatus",
    "Ledger",
    "LedgerError",
    "LiveExport",
    "LocalPool",
    "Notifier",
    "PoolError",
    "Progress",
    "ProgressBar",
    "ProgressDisplay",
    "ProgressLog",
    "RayPool",
    "SpecError",
    "SubmissionError",
    "TokenError",
    "TransferResult",
    "WandbRun",
    "__version__",
    "columns",
    "follow",
    "jobs",
    "list_jobs",
    "load",
    "load_network",
    "logs",
    "open",
    "open_ledger",
    "pccore",
    "plot_landscape",
    "read_dataset",
    "report",
    "results",
    "run",
    "status",
    "stop",
    "submit",
    "transfer",
]

def check_packages() -> None: ...

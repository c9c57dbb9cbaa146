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
    sweep,
)
from pccore import Curve, Outcome, Status
from pccore.data import Dataset, DatasetError
from results import LedgerError, columns, plot_landscape, report
from results.shapes import Shape
from transfer import (
    Experiment,
    Ledger,
    Progress,
    SpecError,
    Sweep,
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
    "Curve",
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
    "Outcome",
    "PoolError",
    "Progress",
    "ProgressBar",
    "ProgressDisplay",
    "ProgressLog",
    "RayPool",
    "Shape",
    "SpecError",
    "Status",
    "SubmissionError",
    "Sweep",
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
    "sweep",
    "transfer",
]

def check_packages() -> None: ...

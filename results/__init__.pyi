from .errors import DamagedFileWarning, LedgerError
from .figures.landscape_plot import plot_landscape
from .ledger import Ledger, open
from .page.report import report
from .schema.tables import columns
from .storage.checkpoints import Checkpoints
from .storage.claims import Claims
from .storage.exported import read_weights
from .storage.weights import KeptWeights

__all__ = [
    "Checkpoints",
    "Claims",
    "DamagedFileWarning",
    "KeptWeights",
    "Ledger",
    "LedgerError",
    "columns",
    "open",
    "plot_landscape",
    "read_weights",
    "report",
]

from .errors import DamagedFileWarning, LedgerError
from .ledger import Ledger, open
from .page.report import report
from .schema.tables import columns
from .storage.checkpoints import Checkpoints

__all__ = [
    "Checkpoints",
    "DamagedFileWarning",
    "Ledger",
    "LedgerError",
    "columns",
    "open",
    "report",
]

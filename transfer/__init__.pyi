from .datasets import read_dataset
from .engine.driver import run, train
from .engine.network_ledger import Ledger, open
from .engine.pool import Group, GroupResult, Pool, Worker
from .engine.progress import Progress
from .engine.result import TransferResult
from .engine.runs import Cell, Run
from .engine.trained_networks import Rebuilt, load_network
from .judge.landscapes import fit_landscapes, judge_landscapes
from .judge.law import determined
from .judge.verdict import Verdict, VerdictLabel
from .search.false_kills import PrunerReplay, replay_pruners
from .spec.errors import SpecError
from .spec.model import Experiment, load
from .spec.sweep import Sweep
from .spec.variants import VARIANTS

__all__ = [
    "VARIANTS",
    "Cell",
    "Experiment",
    "Group",
    "GroupResult",
    "Ledger",
    "Pool",
    "Progress",
    "PrunerReplay",
    "Rebuilt",
    "Run",
    "SpecError",
    "Sweep",
    "TransferResult",
    "Verdict",
    "VerdictLabel",
    "Worker",
    "determined",
    "fit_landscapes",
    "judge_landscapes",
    "load",
    "load_network",
    "open",
    "read_dataset",
    "replay_pruners",
    "run",
    "train",
]

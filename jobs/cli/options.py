"""Options of the commands. Imported for `--help`, so it stays light."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from jobs.cli.exit_status import FailOn
from jobs.pools.settings import LayoutPolicy


class PoolKind(StrEnum):
    """Kind of pool that trains the runs."""

    LOCAL = "local"
    RAY = "ray"


class Shell(StrEnum):
    """Shells that complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class TableName(StrEnum):
    """Tables of the ledger."""

    RUNS = "runs"
    CURVES = "curves"
    LAYERS = "layers"
    VERDICTS = "verdicts"
    MEASUREMENTS = "measurements"


@dataclass(frozen=True)
class RunOptions:
    """Options of `mupc run`; None stands for a default that depends on the experiment."""

    spec: Path
    ledger: str
    report: Path | None
    pool: PoolKind
    workers: int | None
    address: str | None
    data_dir: Path | None
    layouts: LayoutPolicy
    checkpoint_minutes: float
    fail_on: tuple[FailOn, ...]
    as_json: bool
    notify: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PlanOptions:
    """Options of `mupc plan`."""

    spec: Path
    ledger: str
    pool: PoolKind
    workers: int | None
    address: str | None
    data_dir: Path | None
    calibrate: bool
    as_json: bool


@dataclass(frozen=True)
class Printed:
    """How rows are printed.

    Attributes:
        limit: how many; None means all in files, and a screenful as text.
        as_json: as JSON.
        as_csv: as CSV.
    """

    limit: int | None
    as_json: bool
    as_csv: bool

    @property
    def as_file(self) -> bool:
        """Whether the rows are for a program."""
        return self.as_json or self.as_csv


@dataclass(frozen=True)
class ResultsOptions:
    """Options of `mupc results`."""

    ledger: str
    table: TableName
    where: list[str]
    columns: str | None
    sort: str | None
    older: bool
    printed: Printed


@dataclass(frozen=True)
class ExportOptions:
    """Options of `mupc export`; None stands for a default that depends on `what`.

    Attributes:
        what: the id of a run, or the name of a form.
        ledger: folder or URI of the ledger.
        to: where it is written.
        experiments: names of the experiments; none means all.
        follow: whether to write new runs as they finish.
        force: whether to replace what is at the place.
        title: title of a data set.
        authors: its authors.
        license: its licence.
        as_json: whether to print JSON.
    """

    what: str
    ledger: str
    to: str | None
    experiments: tuple[str, ...]
    follow: bool
    force: bool
    title: str | None
    authors: tuple[str, ...]
    license: str | None
    as_json: bool

    @property
    def describes(self) -> bool:
        """Whether a data set is described."""
        return bool(self.title or self.authors or self.license)


@dataclass(frozen=True)
class NewOptions:
    """Options of `mupc new`."""

    file: Path
    name: str | None = None
    data: str = "digits"
    target: str | None = None
    task: str | None = None
    network: str = "stacked"
    activation: str = "relu"
    variants: str = "mupc"
    width: int = 32
    depth: int = 8
    depths: str | None = None
    steps: int = 100
    seeds: int = 3
    force: bool = False
    as_json: bool = False

"""The pool of a command that trains: checks of its options, and its end on a signal."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

from jobs.cli.options import PoolKind
from jobs.cli.stopping import SignalHandler
from jobs.cluster.package import CONTINUE
from jobs.errors import CommandError
from results import LedgerError
from results.errors import because
from results.storage.permissions import try_folder

if TYPE_CHECKING:
    from jobs import LocalPool, RayPool
    from results import Checkpoints, Ledger
    from transfer import GroupResult, Pool


class PoolOptions(Protocol):
    """Options of every command that makes a pool."""

    @property
    def pool(self) -> PoolKind: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def address(self) -> str | None: ...


class PoolSettings(TypedDict, total=False):
    """Arguments that both classes of pools share."""

    train: "Callable[..., GroupResult]"
    checkpoints: "Checkpoints | None"
    checkpoint_seconds: float


class TrainingOptions(PoolOptions, Protocol):
    """Options of every command that trains."""

    @property
    def checkpoint_minutes(self) -> float: ...


def check_pool(options: PoolOptions) -> None:
    """Check the options of a pool.

    Raises:
        CommandError: --address is given for a local pool.
    """
    if options.address and options.pool is PoolKind.LOCAL:
        raise CommandError(f"--address {options.address!r} needs --pool ray, not --pool local")


def check_folder(option: str, folder: Path) -> None:
    """Check that a path can become a folder with files.

    Raises:
        CommandError: the path or one of its parents is a file, or it cannot be written to.
    """
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise CommandError(f"{option} {str(folder)!r} cannot be a folder: {existing} is a file")
    try:
        try_folder(folder)
    except OSError as error:
        reason = because(error)
        raise CommandError(f"{option} {str(folder)!r} cannot be written to: {reason}") from None


@contextmanager
def working_pool(
    options: TrainingOptions,
    ledger: "Ledger",
    safe: Callable[[], str],
    program: Sequence[str] = ("mupc",),
    name: str = "mupc",
) -> "Iterator[Pool]":
    """Open the pool that the options describe, with its checkpoints in the ledger.

    On a signal of `jobs.signals` the process saves what trains, prints what `safe` returns and how
    to continue, and exits.

    Args:
        options: of the command.
        ledger: where checkpoints go.
        safe: returns a clause about the runs that are stored.
        program: the command that the user ran, without its arguments.
        name: of what is trained, by which a cluster shows the workers.
    """
    pool: Pool | None = None
    handler = SignalHandler()
    handler.install()
    try:
        seconds = 60 * options.checkpoint_minutes
        pool = make_pool(options, name, checkpoints=ledger.checkpoints, checkpoint_seconds=seconds)
        handler.install()
        yield pool
    except KeyboardInterrupt:
        again = os.environ.get(CONTINUE) or shlex.join([*program, *shown_arguments(sys.argv[1:])])
        handler.exit(
            pool.close if pool else lambda: None,
            lambda: f"\nstopped ({handler.received.name}), {_stored(safe)}; to continue: {again}",
        )
    finally:
        if pool is not None:
            pool.close()


def shown_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command without the URL of --notify, which may hold a secret."""
    shown: list[str] = []
    for place, word in enumerate(arguments):
        option, mark, value = word.partition("=")
        if option == "--notify" and mark and not value.startswith("@"):
            shown.append("--notify=...")
        elif place and arguments[place - 1] == "--notify" and not word.startswith("@"):
            shown.append("...")
        else:
            shown.append(word)
    return shown


def _stored(safe: Callable[[], str]) -> str:
    """Return what `safe` returns, or why it cannot tell."""
    try:
        return safe()
    except LedgerError as error:
        return str(error)


def make_pool(
    options: PoolOptions, name: str = "mupc", **settings: Unpack[PoolSettings]
) -> "LocalPool | RayPool":
    """Return the pool that the options describe, for what is called `name`; `settings` are
    arguments of its class."""
    if options.pool is PoolKind.LOCAL:
        from jobs import LocalPool

        return LocalPool(options.workers, **settings)
    from jobs import RayPool

    address = options.address or "local"
    return RayPool(options.workers, address=address, name=name, **settings)

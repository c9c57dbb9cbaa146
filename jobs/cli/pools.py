"""What commands that train share: checks of their options, and a pool that a signal ends."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jobs.cli.options import PoolKind
from jobs.cli.stopping import Listener
from jobs.cluster.package import CONTINUE
from jobs.errors import CommandError

if TYPE_CHECKING:
    from jobs import LocalPool, RayPool
    from results import Ledger
    from transfer import Pool


class PoolOptions(Protocol):
    """Options of every command that makes a pool."""

    @property
    def pool(self) -> PoolKind: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def address(self) -> str | None: ...


class TrainingOptions(PoolOptions, Protocol):
    """Options of every command that trains."""

    @property
    def checkpoint_minutes(self) -> float: ...


def check_pool(options: PoolOptions) -> None:
    """Refuse options that no pool can have.

    Raises:
        CommandError: an address for a pool in this process.
    """
    if options.address and options.pool is PoolKind.LOCAL:
        raise CommandError(f"--address {options.address!r} needs --pool ray, not --pool local")


def check_folder(option: str, folder: Path) -> None:
    """Refuse a folder to write to that cannot be one.

    Raises:
        CommandError: it, or one of those that it is in, is a file.
    """
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise CommandError(f"{option} {str(folder)!r} cannot be a folder: {existing} is a file")


@contextmanager
def working_pool(
    options: TrainingOptions,
    ledger: "Ledger",
    safe: Callable[[], str],
    program: Sequence[str] = ("mupc",),
) -> "Iterator[Pool]":
    """The pool that the options ask for, closed at the end; its checkpoints go to the ledger.

    A signal ends the process, with a sentence on what `safe` says and how to continue.
    """
    pool: Pool | None = None
    listener = Listener()
    listener.listen()
    try:
        seconds = 60 * options.checkpoint_minutes
        pool = make_pool(options, checkpoints=ledger.checkpoints, checkpoint_seconds=seconds)
        listener.listen()
        yield pool
    except KeyboardInterrupt:
        print(
            f"\nstopped ({listener.received.name}), {safe()}; "
            f"to continue: {os.environ.get(CONTINUE) or shlex.join([*program, *sys.argv[1:]])}",
            file=sys.stderr,
        )
        listener.leave(pool.close if pool else lambda: None)
    finally:
        if pool is not None:
            pool.close()


def make_pool(options: PoolOptions, **settings: Any) -> "LocalPool | RayPool":
    """The pool that the options ask for, with other settings of its own."""
    if options.pool is PoolKind.LOCAL:
        from jobs import LocalPool

        return LocalPool(options.workers, **settings)
    from jobs import RayPool

    return RayPool(options.address or "local", options.workers, **settings)

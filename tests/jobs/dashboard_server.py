"""The dashboard in a thread of the tests, and ledgers for it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import synthetic_ledger as synthetic
from aiohttp import web

import results
from jobs.cli.dashboard import selected
from jobs.dashboard.security import Guard
from jobs.dashboard.server import application, plotly_script
from jobs.dashboard.watcher import Watcher
from results import Ledger
from results.vocabulary import RATES


class QuickWatcher(Watcher):
    """A watcher that does not let a test wait."""

    pause = 0.1


@contextmanager
def dashboard(
    ledger: Ledger, token: str | None = None, *, local: bool = True, port: int = 0
) -> Iterator[str]:
    """Serve a ledger; yields the address of the page."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    app = application(QuickWatcher(ledger, selected), Guard(token, local), plotly_script())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        found: Any = runner.addresses[0]
        return int(found[1])

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    try:
        yield f"http://127.0.0.1:{wait(start())}"
    finally:
        wait(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def write(folder: Path, fake: synthetic.FakeLedger) -> Ledger:
    """Write the rows of a synthetic ledger to a real one, a group per shape and variant."""
    ledger = results.open(folder, create=True)
    groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for row in fake.run_rows:
        groups.setdefault((row["experiment"], row["variant"], row["depth"]), []).append(row)
    for rows in groups.values():
        ids = {row["run_id"] for row in rows}
        curves = [row for row in fake.curve_rows if row["run_id"] in ids]
        layers = [row for row in fake.layer_rows if row["run_id"] in ids]
        ledger.append(rows, curves, layers)
    if fake.verdict_rows:
        ledger.append_verdicts(fake.verdict_rows)
    return ledger


def thesis(folder: Path, experiment: str = "digits-relu") -> Ledger:
    """Write a ledger of muPC, SP and BP at depths 8, 16 and 32, with curves and layers."""
    fake = synthetic.thesis_like(experiment, depths=(16, 32), seeds=2)
    at_moved = {row["run_id"] for row in fake.curve_rows}
    fake.layer_rows = [
        change
        for row in fake.run_rows
        if row["run_id"] in at_moved
        for change in synthetic.layers(row)
    ]
    spec = f'{{"name": "{experiment}", "tune": {{"weight_lr": [0.5, 0.1, 0.05, 0.01]}}}}'
    for row in fake.verdict_rows:
        row["spec"] = spec
    return write(folder, fake)


def cells(ledger: Ledger, **filters: object) -> dict[tuple[float, ...], float]:
    """Return the mean loss of every cell that trained, by its rates."""
    runs = ledger.runs(outcome="trained", **filters)
    means = runs.groupby(list(RATES))["final_train_loss"].mean()
    return {tuple(float(rate) for rate in at): float(loss) for at, loss in means.items()}

"""A webhook: a JSON line at every verdict, at failures and at the end."""

import json
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.cluster.webhook import Webhook
from jobs.errors import SubmissionError, one_sentence
from pccore import Outcome, Status
from results.durations import duration
from results.rates import cell_in
from results.untrusted import printable
from results.uri import masked
from results.vocabulary import RATES
from transfer.engine.progress import Progress
from transfer.engine.runs import AnyRun

if TYPE_CHECKING:
    from jobs.cluster.http import Http
    from results import Ledger

SECONDS = 10.0
"""Deadline of one request."""

END_SECONDS = 12.0
"""How long the end of a job waits for requests; after a signal `STOP_SECONDS`."""

STOP_SECONDS = 0.5
MOST_WAITING = 100
"""Messages that wait for the server; further ones are dropped and counted."""

MOST_LETTERS = 500


class Notifier(Progress):
    """Posts what happens to a webhook, in a thread of its own.

    Each message is one line of JSON with `event` ("verdict", "failure" or "end"), `experiment` and
    `time`. Runs that fail for the same cause are one message, and counted at the end. Nothing waits
    for the server but the end of the job, for seconds. The first error is told; none ends the job.

    Args:
        url: the URL, or @FILE with it.
        announce: called with a sentence when the webhook does not work.
        clock: seconds, monotonic.

    Raises:
        CommandError: it is no URL.
    """

    def __init__(
        self,
        url: str,
        announce: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hook = Webhook.parse(url)
        self._announce = announce or _warn
        self._clock = clock
        self._queue: queue.Queue[dict[str, object] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._post_all, daemon=True)
        self._dropped, self._told = 0, False
        self._causes: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._experiment = ""
        self._done = self._total = 0
        self._since = clock()

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        """Start the thread."""
        self._experiment, self._since = experiment, self._clock()
        self._thread.start()

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Keep the counts for the message at the end."""
        self._done, self._total = already_done, total_runs

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Post a failure, the first of each cause."""
        self._counts[str(outcome.status)] += 1
        if outcome.status is not Status.FAILED:
            return
        cause = _shown(outcome.cause or "unknown")
        kind = "".join("#" if letter.isdigit() else letter for letter in cause)
        self._causes[kind] += 1
        if self._causes[kind] == 1:
            shape = {"width": run.shape.width, "depth": run.shape.depth}
            about = {"variant": run.variant, **shape, **run.cell, "seed": run.lane.seed}
            self._put("failure", about | {"run_id": run.run_id, "cause": cause})

    def verdict(self, row: Mapping[str, object]) -> None:
        """Post a verdict."""
        self._verdicts[str(row["verdict"])] += 1
        names = ("variant", "dataset", "activation", "width", "depth", "rule", "verdict", "regret")
        found = {name: row.get(name) for name in (*names, *RATES, "loss", "accuracy")}
        self._put("verdict", found | cell_in(row) | {"reason": _shown(row.get("reason") or "")})

    def end(self, error: BaseException | None) -> None:
        """Post the end, and wait for the requests to be answered."""
        stopped = isinstance(error, KeyboardInterrupt)
        outcome = "complete" if error is None else "stopped" if stopped else "error"
        facts: dict[str, object] = {
            "outcome": outcome,
            "runs": self._total,
            "done": self._done,
            "ended_here": dict(self._counts),
            "verdicts": dict(self._verdicts),
            "seconds": round(self._clock() - self._since, 3),
        }
        if error is not None and not stopped:
            facts["cause"] = _shown(one_sentence(error))
        self._put("end", facts, last=True)
        self._thread.join(STOP_SECONDS if stopped else END_SECONDS)
        if self._thread.is_alive() and not stopped:
            self._tell(f"it has not answered within {duration(END_SECONDS)}")

    def _put(self, event: str, facts: Mapping[str, object], *, last: bool = False) -> None:
        """Queue a message; the last one takes the place of others if the queue is full."""
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        message = {"event": event, "experiment": self._experiment, "time": moment, **facts}
        while True:
            try:
                self._queue.put_nowait(message)
                break
            except queue.Full:
                self._dropped += 1
                if not last:
                    return
                self._take()
        if last:
            while self._queue.full():
                self._take()
            self._queue.put_nowait(None)

    def _take(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return

    def _post_all(self) -> None:
        http: Http | None = None
        while (message := self._queue.get()) is not None:
            try:
                http = http or self._connect()
                if self._dropped:
                    message = {**message, "dropped": self._dropped}
                line = json.dumps(message, default=str, allow_nan=False) + "\n"
                status = http.post_text(self._hook.path, line).status
                if not 200 <= status < 300:
                    self._tell(f"it answers with status {status}")
            except SubmissionError as error:
                self._tell(str(error))
            except Exception as error:  # a thread that ends would leave the rest unsent
                self._tell(type(error).__name__)

    def _connect(self) -> "Http":
        from jobs.cluster.http import Http

        http = Http(self._hook.server, name="webhook", seconds=SECONDS)
        if self._hook.credentials and not http.local and self._hook.server.startswith("http:"):
            raise SubmissionError("http would send its password unencrypted: give an https URL")
        http.headers.update(self._hook.headers)
        return http

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            self._announce(
                f"--notify: {self._hook.server}: {printable(reason)}; the runs go on, and further "
                "errors of it are not shown"
            )


def _shown(text: object) -> str:
    """Return a text from outside as it is sent: bounded, and without keys in URIs."""
    shown = masked(printable(text))
    return shown if len(shown) <= MOST_LETTERS else f"{shown[: MOST_LETTERS - 3]}..."


def _warn(sentence: str) -> None:
    print(f"mupc: warning: {sentence}", file=sys.stderr, flush=True)

"""The progress of a job on a cluster: a small file among Ray's logs, read through its job server.

The driver writes it; `mupc status` and `mupc list` read it. Every user of a cluster can write such
a file, so what it holds is checked like all text from outside.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from results.untrusted import printable

MOST_BYTES = 8192
MOST_LETTERS = 1000
SECONDS = 5
"""How long a job server asks a node for the file, which may have died."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_NODE = re.compile(r"[0-9a-f]{1,128}")
_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_MOST = 2**53


@dataclass(frozen=True)
class JobProgress:
    """Progress of an experiment.

    Attributes:
        phase: "start", "tune", "transfer" or "reproduce".
        done: runs in the ledger.
        total: runs of the whole experiment, as far as known.
        failed: runs that failed in this process.
        lanes: runs that are in training.
        runs_per_minute: since training began.
        gflops: 10^9 floating-point operations a second.
        seconds: since the start.
        seconds_left: until the end at this speed; None if unknown.
        troubles: runs without a result, with the causes of failures; "" for none.
        ledger: where the runs are stored, without secrets; "" from drivers that do not say it.
    """

    phase: str
    done: int
    total: int
    failed: int
    lanes: int
    runs_per_minute: float
    gflops: float
    seconds: float
    seconds_left: float | None
    troubles: str
    ledger: str = ""

    @classmethod
    def read(cls, data: bytes) -> "JobProgress | None":
        """Return what a file holds; None if that is no progress."""
        if len(data) > MOST_BYTES:
            return None
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(values, dict):
            return None
        values = {"ledger": "", **values}
        found = {field.name: _checked(field.type, values.get(field.name)) for field in fields(cls)}
        if any(value is _WRONG for value in found.values()):
            return None
        return cls(**found)

    def write(self, path: Path) -> None:
        """Write a file, which is complete whenever it is read."""
        unfinished = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
        try:
            unfinished.write_text(json.dumps(asdict(self)))
            unfinished.replace(path)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)


_WRONG = object()


def _checked(kind: object, value: object) -> Any:
    """Return a value of a kind that a field has; `_WRONG` for any other."""
    if kind is str:
        return printable(value)[:MOST_LETTERS] if isinstance(value, str) else _WRONG
    if value is None:
        return _WRONG if kind in (int, float) else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= _MOST:  # type: ignore[arg-type,operator]
        return _WRONG
    return value if kind is not int or isinstance(value, int) else _WRONG


def file_name(job_id: str) -> str:
    """Return the name of the file of a job."""
    return f"mupc-progress-{job_id}.json"


def path_on_server(record: Mapping[str, object]) -> str | None:
    """Return where a job server has the file of a job, by its record; None if it has none."""
    job_id, node = record.get("submission_id"), record.get("driver_node_id")
    if not isinstance(job_id, str) or not isinstance(node, str):
        return None
    if not _ID.fullmatch(job_id) or not _NODE.fullmatch(node):
        return None
    asked = {"node_id": node, "filename": file_name(job_id), "timeout": SECONDS}
    return f"/api/v0/logs/file?{urlencode(asked)}"


def own_file() -> Path | None:
    """Return the file of the job that this process is the driver of; None if it is none.

    Call it after this process has joined the cluster.
    """
    try:
        config = json.loads(os.environ.get(_JOB_CONFIG, ""))
        job_id = config["metadata"]["job_submission_id"]
    except (ValueError, LookupError, TypeError):
        return None
    from ray._private import worker

    node = worker._global_node
    if node is None or not isinstance(job_id, str) or not _ID.fullmatch(job_id):
        return None
    return Path(node.get_logs_dir_path()) / file_name(job_id)

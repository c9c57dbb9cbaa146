"""`mupc submit`, `list`, `status`, `logs` and `stop` for experiments on a cluster."""

import json
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from jobs.cli.progress import LoggedProgress, last_progress
from jobs.cli.tables import plain_table, screen
from jobs.cluster import submit as submission
from jobs.cluster.address import DEFAULT_ADDRESS
from jobs.cluster.submit import Job, JobStatus
from jobs.errors import CommandError
from results.durations import duration

FAILED = 1
INTERRUPTED = 130


def submit_experiment(
    spec: Path,
    address: str,
    ledger: str | None,
    workers: int | None,
    data_dir: str | None,
    *,
    follow: bool,
    as_json: bool,
) -> int:
    """Submit an experiment, follow it if `follow` is set; returns the exit status."""
    if follow and as_json:
        raise CommandError("--follow and --json are mutually exclusive")
    job = submission.submit(spec, address, ledger=ledger, workers=workers, data_dir=data_dir)
    if as_json:
        print(json.dumps({"id": job, "address": address, "ledger": ledger}, indent=2))
        return 0
    print(f"submitted {job}", flush=True)
    if follow:
        return show_logs(job, address, follow=True)
    for command in (f"logs {job} --follow", f"status {job}", f"stop {job}"):
        print(f"  mupc {command}{_at(address)}")
    return 0


def show_jobs(address: str, *, as_json: bool) -> None:
    """Print one line per job."""
    jobs = submission.list_jobs(address)
    if as_json:
        print(json.dumps({"jobs": [_facts(job) for job in jobs]}, indent=2))
    elif not jobs:
        print(f"no experiments have been submitted to {address}")
    else:
        names = ("id", "status", "started", "took", "ledger")
        table = plain_table(names, text=("id", "status", "started", "ledger"))
        for job in jobs:
            table.add_row(job.id, job.status, _moment(job.started), _took(job), _ledger(job))
        screen().print(table)


def show_status(job_id: str, address: str, *, as_json: bool) -> None:
    """Print the status of a job, with its progress, speed and failures read from its log."""
    job = submission.status(job_id, address)
    _show(job, last_progress(submission.logs(job_id, address)), as_json=as_json)


def show_logs(job_id: str, address: str, *, follow: bool) -> int:
    """Print the output of a job; returns the exit status: with `follow`, that of the job."""
    if not follow:
        print(submission.logs(job_id, address), end="")
        return 0
    on = f"{job_id} continues: mupc logs {job_id} --follow{_at(address)}"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    try:
        for piece in submission.follow(job_id, address):
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        print(f"\n{on}", file=sys.stderr)
        return INTERRUPTED
    job = submission.status(job_id, address)
    print(f"{job.id} {job.status}" if job.status.ended else f"\n{on}", file=sys.stderr)
    return 0 if job.status is JobStatus.SUCCEEDED else FAILED


def stop_job(job_id: str, address: str, *, as_json: bool) -> None:
    """Stop a job and print its status."""
    _show(submission.stop(job_id, address), as_json=as_json)


def _show(job: Job, seen: LoggedProgress | None = None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_facts(job) | {"progress": seen and asdict(seen)}, indent=2))
        return
    facts = {
        "id": job.id,
        "status": job.status,
        "experiment": job.experiment,
        "ledger": _ledger(job),
        "started": _moment(job.started),
        "took": _took(job),
        **(_progress(job, seen) if seen else {}),
        "message": job.message,
    }
    for name, value in facts.items():
        print(f"{name:<16}{value}")


def _progress(job: Job, seen: LoggedProgress) -> dict[str, str]:
    facts = {
        "runs": f"{seen.done} of {seen.total} ({seen.phase})",
        "throughput": f"{seen.runs_per_minute:g} runs/min, {seen.gflops:g} GFLOP/s",
    }
    if not job.status.ended:
        facts["left"] = duration(seen.seconds_left)
    return facts | ({"without result": seen.troubles} if seen.troubles else {})


def _facts(job: Job) -> dict[str, object]:
    times = {name: moment and moment.isoformat() for name, moment in _times(job).items()}
    return {**asdict(job), **times}


def _times(job: Job) -> dict[str, datetime | None]:
    return {"started": job.started, "ended": job.ended}


def _took(job: Job) -> str:
    if job.started is None:
        return "-"
    return duration(((job.ended or datetime.now(UTC)) - job.started).total_seconds())


def _moment(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


def _ledger(job: Job) -> str:
    return job.ledger or "default of the cluster"


def _at(address: str) -> str:
    return "" if address == DEFAULT_ADDRESS else f" --address {address}"

"""`mupc submit`, `list`, `status`, `logs` and `stop` for experiments on a cluster."""

import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from jobs.cli.exit_status import ExitStatus, FailOn, describe
from jobs.cli.json_output import print_json
from jobs.cli.spec_file import check_spec
from jobs.cli.stopping import SignalHandler
from jobs.cli.tables import plain_table, screen
from jobs.cli.terminal import say
from jobs.cluster import submit as submission
from jobs.cluster.address import DEFAULT_ADDRESS
from jobs.cluster.job_progress import JobProgress
from jobs.cluster.submit import Job, JobStatus, Submission
from jobs.errors import CommandError
from results.durations import duration
from results.untrusted import printable

SAID_BY_THE_STATUS = (
    "Job is currently running.",
    "Job was intentionally stopped.",
    "Job finished successfully.",
)
"""Messages of Ray that repeat the status."""


@dataclass(frozen=True)
class SubmitOptions:
    """Options of `mupc submit` that the job's `mupc run` gets; None for the cluster's defaults."""

    ledger: str | None
    workers: int | None
    data_dir: str | None
    fail_on: tuple[FailOn, ...]
    notify: str | None = field(default=None, repr=False)


def submit_experiment(
    spec: Path,
    address: str,
    options: SubmitOptions,
    *,
    follow: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Submit an experiment, follow it if `follow` is set; returns the exit status.

    With `dry_run`, print what would be sent instead.
    """
    if follow and (as_json or dry_run):
        raise CommandError(
            f"--follow and {'--json' if as_json else '--dry-run'} are mutually exclusive"
        )
    check_spec(spec)
    if dry_run:
        _show_submission(submission.prepare(spec, address, **asdict(options)), as_json=as_json)
        return ExitStatus.SUCCESS
    job = submission.submit(spec, address, **asdict(options))
    if as_json:
        print_json("submit", {"id": job, "address": address, "ledger": options.ledger})
        return ExitStatus.SUCCESS
    print(f"submitted {job}", flush=True)
    if follow:
        return show_logs(job, address, follow=True)
    for command in (f"logs {job} --follow", f"status {job}", f"stop {job}"):
        print(f"  mupc {command}{_at(address)}")
    return ExitStatus.SUCCESS


def _show_submission(job: Submission, *, as_json: bool) -> None:
    sizes = {name: len(data) for name, data in sorted(job.files.items())}
    if as_json:
        facts: dict[str, object] = {
            "experiment": job.experiment,
            "ledger": job.ledger,
            "entrypoint": job.command,
        }
        facts |= {"variables": dict(job.variables), "files": sizes, "not_sent": job.shared}
        print_json("submit", facts)
        return
    print(f"command: {job.command}")
    for name, value in job.variables.items():
        print(f"variable: {name}={value}")
    for path in job.shared:
        print(f"not sent: {printable(path)}, which the head node must have at this path")
    print(f"files: {len(sizes)}, {sum(sizes.values()) / 1e6:.1f} MB; nothing is sent")
    for name, size in sizes.items():
        print(f"{size:>9} {name}")


def show_jobs(address: str, *, as_json: bool) -> None:
    """Print one line per job."""
    jobs = submission.list_jobs(address)
    if as_json:
        print_json("list", {"jobs": [_facts(job) for job in jobs]})
    elif not jobs:
        print(f"no experiments have been submitted to {address}")
    else:
        names = ("id", "user", "status", "runs", "left", "age", "ledger")
        table = plain_table(names, text=("id", "user", "status", "ledger"))
        for job in jobs:
            runs, left = _runs(job)
            user = job.user or "-"
            table.add_row(job.id, user, job.status, runs, left, _age(job), _ledger(job))
        screen().print(table)


def show_status(job_id: str, address: str, *, as_json: bool) -> None:
    """Print the status of a job, with its progress, speed and failures."""
    _show("status", submission.status(job_id, address), as_json=as_json)


def show_logs(job_id: str, address: str, *, follow: bool, as_json: bool = False) -> int:
    """Print the output of a job; returns the exit status: with `follow`, that of the job."""
    if follow and as_json:
        raise CommandError("--follow and --json are mutually exclusive")
    if not follow:
        output = submission.logs(job_id, address)
        if as_json:
            print_json("logs", {"id": job_id, "output": output})
        else:
            say(output, end="")
        return ExitStatus.SUCCESS
    on = f"{job_id} continues: mupc logs {job_id} --follow{_at(address)}"
    handler = SignalHandler()
    handler.install()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    try:
        for piece in submission.follow(job_id, address):
            say(piece, end="")
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be gone
            print(f"\n{on}", file=sys.stderr, flush=True)
        return handler.exit_status
    job = submission.status(job_id, address)
    print(f"{job.id} {job.status}" if job.status.ended else f"\n{on}", file=sys.stderr)
    return exit_status(job)


def exit_status(job: Job) -> int:
    """Return the exit status of the job's `mupc run`; 1 if it is unknown."""
    if job.status is JobStatus.SUCCEEDED:
        return ExitStatus.SUCCESS
    if job.status is JobStatus.STOPPED:
        return 128 + signal.SIGTERM  # which `mupc stop` sends
    code = job.exit_status or ExitStatus.ERROR
    return code if code > 0 else 128 - code  # a process that a signal killed


def stop_job(job_id: str, address: str, *, as_json: bool) -> None:
    """Stop a job and print its status."""
    _show("stop", submission.stop(job_id, address), as_json=as_json)


def _show(command: str, job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(command, _facts(job))
        return
    facts = {
        "id": job.id,
        "status": job.status,
        "experiment": job.experiment,
        "user": job.user or "-",
        "ledger": _ledger(job),
        "started": _moment(job.started),
        "took": _took(job),
        **(_progress(job, job.progress) if job.progress else {}),
        **({"exit status": describe(exit_status(job))} if job.status.ended else {}),
        **({"message": job.message} if job.message not in SAID_BY_THE_STATUS else {}),
    }
    for name, value in facts.items():
        say(f"{name:<16}{printable(value)}")


def _progress(job: Job, seen: JobProgress) -> dict[str, str]:
    facts = {
        "runs": f"{seen.done} of {seen.total} ({seen.phase})",
        "throughput": f"{seen.runs_per_minute:.3g} runs/min, {seen.gflops:.3g} GFLOP/s",
    }
    if not job.status.ended:
        facts["left"] = duration(seen.seconds_left)
        facts["in training"] = f"{seen.lanes} runs"
    return facts | ({"without result": seen.troubles} if seen.troubles else {})


def _facts(job: Job) -> dict[str, object]:
    times = {name: moment and moment.isoformat() for name, moment in _times(job).items()}
    return {**asdict(job), **times, "exit_status": exit_status(job) if job.status.ended else None}


def _times(job: Job) -> dict[str, datetime | None]:
    return {"started": job.started, "ended": job.ended}


def _took(job: Job) -> str:
    if job.started is None:
        return "-"
    seconds = ((job.ended or datetime.now(UTC)) - job.started).total_seconds()
    return duration(max(seconds, 0.0))  # the clock of the cluster may be ahead


def _age(job: Job) -> str:
    """Return the time since the submission."""
    if job.started is None:
        return "-"
    return duration(max((datetime.now(UTC) - job.started).total_seconds(), 0.0))


def _runs(job: Job) -> tuple[str, str]:
    """Return how many runs are done and the time left, "-" where they are not known."""
    seen = job.progress
    if seen is None:
        return "-", "-"
    return f"{seen.done}/{seen.total}", "-" if job.status.ended else duration(seen.seconds_left)


def _moment(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


def _ledger(job: Job) -> str:
    return job.place or "default of the cluster"


def _at(address: str) -> str:
    return "" if address == DEFAULT_ADDRESS else f" --address {address}"

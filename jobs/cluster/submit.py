"""Submission of experiments to a cluster, and the jobs that were submitted.

    job = jobs.submit("spec.yaml", "http://127.0.0.1:8265", ledger="s3://bucket/runs")
    for piece in jobs.follow(job, "http://127.0.0.1:8265"):
        print(piece, end="")

A job consists of the code of this project and a spec; the Python of the cluster executes `mupc run`
on it. All of its state is in the ledger: submit the same spec again to continue a job that was
stopped, killed or lost.
"""

import getpass
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.cluster.address import DEFAULT_ADDRESS, job_server
from jobs.cluster.http import AnswerTooLongError
from jobs.cluster.job_progress import JobProgress
from jobs.cluster.own_data import travelling_spec
from jobs.cluster.package import CONTINUE, NOTIFY, SPEC, command, pack, zipped
from jobs.cluster.ray_jobs import JobServer, Record
from jobs.cluster.webhook import Webhook
from jobs.errors import SubmissionError
from results.untrusted import printable
from results.uri import shown

if TYPE_CHECKING:
    from transfer import Experiment, Sweep

STOP_SECONDS = 30.0  # Ray kills a job 3 s after the request to stop
_EXPERIMENT, _LEDGER, _USER = "mupc_experiment", "mupc_ledger", "mupc_user"
_MOST_LETTERS = 40  # of a user's name
LIST_SECONDS = 10.0  # after which a list leaves further progress out
MOST_PROGRESS = 20
"""The newest jobs whose progress a list has: each takes a request."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class JobStatus(StrEnum):
    """Status of a job, as Ray reports it."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self not in (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True)
class Job:
    """An experiment on a cluster.

    Attributes:
        id: the id of the job on the cluster.
        status: its status.
        experiment: the name of the experiment in the spec.
        ledger: where its runs are stored; None for the default of the cluster (`MUPC_LEDGER`).
        started: time of submission (UTC).
        ended: time of its end (UTC), or None.
        message: Ray's message about the status.
        exit_status: of its `mupc run`; None while it runs, and where Ray does not know it.
        user: the name of the user who submitted it, as their machine gives it; "" if unknown.
        progress: of its experiment; None before it has written any, and for the older ones of a
            long list.
    """

    id: str
    status: JobStatus
    experiment: str
    ledger: str | None
    started: datetime | None
    ended: datetime | None
    message: str
    exit_status: int | None = None
    user: str = ""
    progress: JobProgress | None = None

    @property
    def place(self) -> str | None:
        """The ledger; None while it is the cluster's default and the driver has not named it."""
        return self.ledger or (self.progress.ledger if self.progress else "") or None


@dataclass(frozen=True)
class Submission:
    """A job before it is sent.

    Attributes:
        experiment: the name of the experiment.
        ledger: where its runs are stored; None for the default of the cluster.
        command: the shell command that the head node of the cluster runs.
        files: the content of its folder, by name.
        variables: its environment variables.
        shared: files that are too large to be sent, which the head node must have at these paths.
    """

    experiment: str
    ledger: str | None
    command: str
    files: Mapping[str, bytes]
    variables: Mapping[str, str]
    shared: tuple[str, ...] = ()


def submit(
    spec: "str | Path | Experiment | Sweep",
    address: str = DEFAULT_ADDRESS,
    *,
    ledger: str | None = None,
    workers: int | None = None,
    data_dir: str | None = None,
    fail_on: Sequence[str] = (),
    notify: str | None = None,
) -> str:
    """Submit an experiment to a cluster; returns the id of the job without waiting for it.

    A data set of the user's own is sent along, if it takes at most 50 MB when packed. A larger file
    is not: the head node must have it at the same path, which a line on stderr says.

    Args:
        spec: a YAML file, an experiment, or a sweep of training functions.
        address: URL of the cluster's job server.
        ledger: where the cluster stores the runs: the absolute path of a folder on its head node,
            or a URI. The default is `MUPC_LEDGER` on the cluster, or else ~/runs on its head node.
        workers: number of groups trained at the same time. The default is the number of GPUs, or
            else of cores, that the cluster has when the job starts.
        data_dir: folder of the data sets on the head node of the cluster.
        fail_on: results with which the job ends as failed, as for `mupc run --fail-on`.
        notify: URL to which the job posts, as for `mupc run --notify`. It is sent with the code,
            and is no part of the command, which the cluster lists.

    Raises:
        SpecError: one sentence per problem of the spec.
        SubmissionError: no cluster answers at `address`, it is not safe to use (`TokenError`), the
            ledger would be deleted with the job, or a job already runs this experiment into this
            ledger.
    """
    job = prepare(
        spec,
        address,
        ledger=ledger,
        workers=workers,
        data_dir=data_dir,
        fail_on=fail_on,
        notify=notify,
    )
    server = JobServer(address)
    _refuse_second(server, job.experiment, ledger)
    for path in job.shared:
        sentence = f"{path} is too large to be sent: the head node must have it at this path"
        print(printable(sentence), file=sys.stderr, flush=True)
    job_id = f"{job.experiment}-{uuid4().hex[:8]}"
    server.submit(
        submission_id=job_id,
        entrypoint=job.command,
        package=zipped(job.files),
        variables=job.variables,
        metadata={_EXPERIMENT: job.experiment, _LEDGER: ledger or "", _USER: _user()},
    )
    return job_id


def prepare(
    spec: "str | Path | Experiment | Sweep",
    address: str = DEFAULT_ADDRESS,
    *,
    ledger: str | None = None,
    workers: int | None = None,
    data_dir: str | None = None,
    fail_on: Sequence[str] = (),
    notify: str | None = None,
) -> Submission:
    """Return all that `submit` with these arguments would send, without sending it.

    Raises:
        SpecError: one sentence per problem of the spec.
        SubmissionError: an argument is invalid, or the code cannot be sent.
    """
    import transfer

    experiment = transfer.load(spec) if isinstance(spec, str | Path) else spec
    job_server(address)
    if workers is not None and workers < 1:
        raise SubmissionError(f"workers must be at least 1, got {workers}")
    text, beside, shared = travelling_spec(experiment)
    options = {
        "ledger": ledger,
        "workers": workers,
        "data_dir": data_dir,
        "fail_on": ",".join(fail_on) or None,
        "notify": notify if notify is None or notify.startswith("@") else "...",
    }
    files = pack(text, experiment.own, beside)
    if notify is not None:
        Webhook.parse(notify)
        files[NOTIFY] = Webhook.read(notify).encode()
    return Submission(
        experiment.name,
        ledger,
        command(experiment.name, ledger, workers, data_dir, fail_on, notify=notify is not None),
        files,
        {CONTINUE: _again(spec, address, options)},
        shared,
    )


def status(job_id: str, address: str = DEFAULT_ADDRESS) -> Job:
    """Return a job with its progress. Raises `SubmissionError`, also for an unknown id."""
    server = JobServer(address)
    record = _record(server, job_id)
    return replace(_job(server, job_id, record), progress=server.progress(record or {}))


def list_jobs(address: str = DEFAULT_ADDRESS) -> list[Job]:
    """Return the experiments submitted to a cluster, newest first. Raises `SubmissionError`."""
    server = JobServer(address)
    records = {str(record.get("submission_id")): record for record in server.jobs()}
    jobs = _sorted(records.values())
    deadline = time.monotonic() + LIST_SECONDS
    for place, job in enumerate(jobs[:MOST_PROGRESS]):
        if time.monotonic() > deadline:
            break
        jobs[place] = replace(job, progress=server.progress(records[job.id]))
    return jobs


def logs(job_id: str, address: str = DEFAULT_ADDRESS) -> str:
    """Return the output of a job so far. Raises `SubmissionError`, also beyond 16 MB."""
    server = JobServer(address)
    try:
        return server.logs(_found(server, job_id).id)
    except AnswerTooLongError as error:
        raise AnswerTooLongError(
            f"{error}: print the output of {job_id} with 'mupc logs {job_id} --follow', which "
            "reads it in pieces"
        ) from None


def follow(job_id: str, address: str = DEFAULT_ADDRESS) -> Iterator[str]:
    """Yield the output of a job in pieces, until the job or its cluster ends.

    Raises:
        SubmissionError: no such job or cluster, or the connection breaks; the job continues.
    """
    server = JobServer(address)
    yield from server.follow(_found(server, job_id).id)


def stop(job_id: str, address: str = DEFAULT_ADDRESS) -> Job:
    """Stop a job and wait for its end; a job that has ended keeps its status.

    Raises:
        SubmissionError: no such job or cluster, or the job has not ended after 30 s.
    """
    server = JobServer(address)
    job = _found(server, job_id)
    if job.status.ended:
        return job
    server.stop(job.id)
    deadline = time.monotonic() + STOP_SECONDS
    while not (job := _found(server, job_id)).status.ended:
        if time.monotonic() > deadline:
            raise SubmissionError(
                f"job {job.id} is still {job.status} {STOP_SECONDS:g} s after the request to stop"
            )
        time.sleep(0.2)
    return job


def _again(
    spec: "str | Path | Experiment | Sweep", address: str, options: Mapping[str, object]
) -> str:
    """Return the command that continues the job, which it prints when it is stopped."""
    words = ["mupc", "submit", str(spec) if isinstance(spec, str | Path) else SPEC]
    for name, value in {"address": address, **options}.items():
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return shlex.join(words)


def _refuse_second(server: JobServer, experiment: str, ledger: str | None) -> None:
    """Check that no running job has this experiment and ledger: both would train the same runs."""
    for job in _sorted(server.jobs()):
        if not job.status.ended and (job.experiment, job.ledger) == (experiment, ledger):
            raise SubmissionError(
                f"job {job.id} already runs experiment {experiment!r} into this ledger: "
                f"follow it with 'mupc logs {job.id} --follow', or stop it first"
            )


def _user() -> str:
    """Return the name of the user; "" where the system does not know it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _found(server: JobServer, job_id: str) -> Job:
    return _job(server, job_id, _record(server, job_id))


def _record(server: JobServer, job_id: str) -> Record | None:
    # The pattern also keeps ids such as ../x out of URLs.
    return server.job(job_id) if _ID.fullmatch(job_id) else None


def _job(server: JobServer, job_id: str, record: Record | None) -> Job:
    job = _read(record) if record else None
    if job is None:
        raise SubmissionError(
            f"no job {job_id!r} at {server.address}: list the jobs with 'mupc list'"
        )
    return job


def _sorted(records: Iterable[Record]) -> list[Job]:
    """Return the jobs that mupc submitted, newest first."""
    jobs = [job for record in records if (job := _read(record))]
    return sorted(jobs, key=lambda job: job.started or datetime.max.replace(tzinfo=UTC))[::-1]


def _read(record: Record) -> Job | None:
    """Convert Ray's record of a job; None if mupc did not submit it.

    Every user of a cluster can submit a job with any metadata, so a record that is not as mupc
    writes it is not mupc's.
    """
    metadata = record.get("metadata")
    if not isinstance(metadata, dict):
        return None
    job_id, ledger = record.get("submission_id"), metadata.get(_LEDGER)
    name = metadata.get(_EXPERIMENT)
    if not all(isinstance(text, str) and _ID.fullmatch(text) for text in (job_id, name)):
        return None
    message, code = record.get("message"), record.get("driver_exit_code")
    user = metadata.get(_USER)
    try:
        return Job(
            str(job_id),
            JobStatus(str(record.get("status")).lower()),
            str(name),
            shown(ledger) if isinstance(ledger, str) and ledger else None,
            _time(record.get("start_time")),
            _time(record.get("end_time")),
            message.strip() if isinstance(message, str) else "",
            code if isinstance(code, int) else None,
            printable(user)[:_MOST_LETTERS] if isinstance(user, str) else "",
        )
    except (ValueError, OverflowError, OSError):  # an unknown status, an impossible time
        return None


def _time(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float) or not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)

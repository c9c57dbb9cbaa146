"""Experiments as jobs of a cluster: submitted, looked at, followed and stopped from elsewhere.

    job = jobs.submit("spec.yaml", "http://127.0.0.1:8265", ledger="s3://bucket/runs")
    for piece in jobs.follow(job, "http://127.0.0.1:8265"):
        print(piece, end="")

A job is this project's code and a spec, run by the cluster's Python as `mupc run`. Its memory is
the ledger: a job that was stopped, killed or lost is continued by submitting the same spec again.
"""

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jobs.cluster.address import DEFAULT_ADDRESS
from jobs.cluster.package import CONTINUE, SPEC, command, pack
from jobs.cluster.ray_jobs import JobServer
from jobs.errors import SubmissionError

if TYPE_CHECKING:
    from transfer import Experiment

STOP_SECONDS = 30.0  # Ray kills what has not ended 3 s after it was asked to
_EXPERIMENT, _LEDGER = "mupc_experiment", "mupc_ledger"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class JobStatus(StrEnum):
    """Where a job is: Ray's words."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether it stays so."""
        return self not in (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True)
class Job:
    """An experiment on a cluster.

    Attributes:
        id: its name on the cluster.
        status: where it is.
        experiment: the name in the spec.
        ledger: where its runs are; None where the cluster's own `MUPC_LEDGER` decides.
        started: when it was submitted (UTC).
        ended: when it ended (UTC), None before.
        message: what Ray says about the status.
    """

    id: str
    status: JobStatus
    experiment: str
    ledger: str | None
    started: datetime | None
    ended: datetime | None
    message: str


def submit(
    spec: "str | Path | Experiment",
    address: str = DEFAULT_ADDRESS,
    *,
    ledger: str | None = None,
    workers: int | None = None,
    data_dir: str | None = None,
) -> str:
    """Run or continue an experiment on a cluster; returns the job's id without waiting for it.

    Args:
        spec: a YAML file, or the experiment itself.
        address: URL of the cluster's job server.
        ledger: where the runs are kept, as the cluster sees it: the absolute path of a folder that
            its head keeps or shares, or a URI. By default what `MUPC_LEDGER` says on the cluster,
            or else ~/runs on its head.
        workers: groups trained at a time; by default as many as the cluster has GPUs, or cores,
            when the job starts.
        data_dir: the folder of data sets on the cluster's head.

    Raises:
        SpecError: one sentence per problem of the spec.
        SubmissionError: no cluster at `address`, one that is not safe to use (`TokenError`), a
            ledger that would not outlive the job, or a job that runs this experiment into this
            ledger already.
    """
    import transfer

    experiment = transfer.load(spec) if isinstance(spec, str | Path) else spec
    if workers is not None and workers < 1:
        raise SubmissionError(f"workers must be at least 1, got {workers}")
    options = {"ledger": ledger, "workers": workers, "data_dir": data_dir}
    entrypoint = command(experiment.name, ledger, workers, data_dir)
    server = JobServer(address)
    _refuse_second(server, experiment.name, ledger)
    with TemporaryDirectory(prefix="mupc-") as folder:
        pack(Path(folder))
        (Path(folder) / SPEC).write_text(experiment.to_yaml())
        return server.submit(
            submission_id=f"{experiment.name}-{uuid4().hex[:8]}",
            entrypoint=entrypoint,
            runtime_env={
                "working_dir": folder,
                "env_vars": {CONTINUE: _again(spec, address, options)},
            },
            metadata={_EXPERIMENT: experiment.name, _LEDGER: ledger or ""},
        )


def status(job_id: str, address: str = DEFAULT_ADDRESS) -> Job:
    """Where a job is. Raises `SubmissionError`, also for an id that the cluster does not know."""
    return _found(JobServer(address), job_id)


def list_jobs(address: str = DEFAULT_ADDRESS) -> list[Job]:
    """The experiments that were submitted to a cluster, newest first. Raises `SubmissionError`."""
    return _listed(JobServer(address))


def logs(job_id: str, address: str = DEFAULT_ADDRESS) -> str:
    """What a job has printed. Raises `SubmissionError`."""
    server = JobServer(address)
    return server.logs(_found(server, job_id).id)


def follow(job_id: str, address: str = DEFAULT_ADDRESS) -> Iterator[str]:
    """What a job has printed and prints, in pieces, until it or its cluster ends.

    Raises:
        SubmissionError: no such job or cluster, or the connection breaks; the job goes on.
    """
    server = JobServer(address)
    yield from server.follow(_found(server, job_id).id)


def stop(job_id: str, address: str = DEFAULT_ADDRESS) -> Job:
    """End a job and wait until it has; one that ended before stays as it is.

    Raises:
        SubmissionError: no such job or cluster, or it has not ended after half a minute.
    """
    server = JobServer(address)
    job = _found(server, job_id)
    if job.status.ended:
        return job
    server.stop(job.id)
    deadline = time.monotonic() + STOP_SECONDS
    while not (job := _found(server, job_id)).status.ended:
        if time.monotonic() > deadline:
            raise SubmissionError(f"job {job.id} was asked to stop and is still {job.status}")
        time.sleep(0.2)
    return job


def _again(spec: "str | Path | Experiment", address: str, options: Mapping[str, Any]) -> str:
    """What the job's last words recommend when it is stopped."""
    words = ["mupc", "submit", str(spec) if isinstance(spec, str | Path) else SPEC]
    for name, value in {"address": address, **options}.items():
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return shlex.join(words)


def _refuse_second(server: JobServer, experiment: str, ledger: str | None) -> None:
    """Refuse what a job does already: both would train the same runs."""
    for job in _listed(server):
        if not job.status.ended and (job.experiment, job.ledger) == (experiment, ledger):
            raise SubmissionError(
                f"job {job.id} runs experiment {experiment!r} into this ledger already: "
                f"follow it with 'mupc logs {job.id} --follow', or stop it first"
            )


def _found(server: JobServer, job_id: str) -> Job:
    # The pattern also keeps ids such as ../x out of the URLs that are made of them.
    details = server.job(job_id) if _ID.fullmatch(job_id) else None
    job = _read(details) if details else None
    if job is None:
        raise SubmissionError(
            f"no job {job_id!r} at {server.address}: 'mupc list' shows those that there are"
        )
    return job


def _listed(server: JobServer) -> list[Job]:
    jobs = [job for details in server.jobs() if (job := _read(details))]
    return sorted(jobs, key=lambda job: job.started or datetime.max.replace(tzinfo=UTC))[::-1]


def _read(details: Any) -> Job | None:
    """The job that Ray describes, None if it is not one of ours."""
    metadata: Mapping[str, str] = details.metadata or {}
    if not details.submission_id or _EXPERIMENT not in metadata:
        return None
    return Job(
        details.submission_id,
        JobStatus(details.status.lower()),
        metadata[_EXPERIMENT],
        metadata.get(_LEDGER) or None,
        _time(details.start_time),
        _time(details.end_time),
        (details.message or "").strip(),
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None

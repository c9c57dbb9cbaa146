"""Client of Ray's job server, with one sentence per error.

It makes the few requests itself. Ray's own client follows redirects and proxies, waits and reads
without end, and sends a token that was not asked for.
"""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from jobs.cluster.address import job_server
from jobs.cluster.http import Answer, Http
from jobs.cluster.job_progress import JobProgress, path_on_server
from jobs.cluster.tokens import HOW_TO_GIVE, HOW_TO_MAKE, Token, find_token
from jobs.errors import MAX_CAUSE, SubmissionError, TokenError

Record = Mapping[str, object]
"""Ray's record of a job, of any content."""


class JobServer:
    """The job server of one cluster.

    Args:
        address: its URL, such as http://127.0.0.1:8265.

    Raises:
        SubmissionError: the address is not a URL, or no job server answers there. Every method
            raises it too, if the server refuses.
        TokenError: the cluster is on another machine and requires no token or has no https, or it
            requires a token and there is none or a wrong one.
    """

    def __init__(self, address: str) -> None:
        self.address = job_server(address)
        self._http = Http(self.address)
        if not self._http.local and urlsplit(self.address).scheme != "https":
            raise TokenError(
                f"the cluster at {self.address} is on another machine, and http would send the "
                "token and the code unencrypted: give an https address, or open a tunnel "
                "(ray dashboard, kubectl port-forward or ssh -L) and give its loopback address"
            )
        self._token = self._find_token()
        if self._token:
            self._http.headers["Authorization"] = f"Bearer {self._token.text}"

    def submit(
        self,
        entrypoint: str,
        submission_id: str,
        package: bytes,
        variables: Mapping[str, str],
        metadata: Mapping[str, str],
    ) -> None:
        """Start a job.

        Args:
            entrypoint: its shell command.
            submission_id: its id.
            package: a zip file, unpacked into its working folder; sent unless the cluster has it.
            variables: its environment variables.
            metadata: stored with its record.
        """
        name = f"_ray_pkg_{sha256(package).hexdigest()}.zip"
        place = f"/api/packages/gcs/{name}"
        there = self._http.get(place)
        if there.status != 404:
            self._accepted(there)
        else:
            self._accepted(self._http.put(place, package))
        job = {
            "entrypoint": entrypoint,
            "submission_id": submission_id,
            "runtime_env": {"working_dir": f"gcs://{name}", "env_vars": dict(variables)},
            "metadata": dict(metadata),
        }
        self._accepted(self._http.post("/api/jobs/", job))

    def job(self, job_id: str) -> Record | None:
        """Return Ray's record of a job, or None for an unknown id."""
        answer = self._http.get(f"/api/jobs/{job_id}")
        return None if answer.status == 404 else self._record(answer)

    def jobs(self) -> list[Record]:
        """Return Ray's records of all jobs of this cluster."""
        found = self._json(self._http.get("/api/jobs/"))
        if not isinstance(found, list):
            raise self._not_rays()
        return [record for record in found if isinstance(record, dict)]

    def logs(self, job_id: str) -> str:
        """Return the output of a job so far; raise `AnswerTooLongError` beyond 16 MB."""
        logs = self._record(self._http.get(f"/api/jobs/{job_id}/logs")).get("logs")
        if not isinstance(logs, str):
            raise self._not_rays()
        return logs

    def follow(self, job_id: str) -> Iterator[str]:
        """Yield the output of a job in pieces, until the job or the server ends."""
        for piece in self._http.stream(f"/api/jobs/{job_id}/logs/tail"):
            if isinstance(piece, Answer):
                self._accepted(piece)
                raise self._not_rays()
            if piece is None:
                self.job(job_id)  # a server that has gone silent does not answer
            else:
                yield piece

    def progress(self, record: Record) -> JobProgress | None:
        """Return the progress of a job, by its record; None if it has written none."""
        place = path_on_server(record)
        if place is None:
            return None
        try:
            answer = self._http.get(place)
        except SubmissionError:
            return None
        return JobProgress.read(answer.body) if answer.status == 200 else None

    def stop(self, job_id: str) -> None:
        """Request that a job stops, without waiting."""
        self._accepted(self._http.post(f"/api/jobs/{job_id}/stop"))

    def _find_token(self) -> Token | None:
        """Return the token if the cluster requires one; refuse a remote one that does not."""
        answer = self._http.get("/api/authentication_mode")
        if answer.status != 200:
            raise self._not_rays()
        mode = self._record(answer).get("authentication_mode")
        if not isinstance(mode, str):
            raise self._not_rays()
        if mode != "token":
            if self._http.local:
                return None
            raise TokenError(
                f"the cluster at {self.address} requires no token, so anyone who reaches it could "
                f"run code on it: {HOW_TO_MAKE}"
            )
        token = find_token()
        if token is None:
            raise TokenError(f"the cluster at {self.address} requires a token: {HOW_TO_GIVE}")
        return token

    def _record(self, answer: Answer) -> Record:
        found = self._json(answer)
        if not isinstance(found, dict):
            raise self._not_rays()
        return found

    def _json(self, answer: Answer) -> object:
        self._accepted(answer)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise self._not_rays() from None

    def _accepted(self, answer: Answer) -> None:
        if answer.status in (401, 403):
            source = self._token.source if self._token else "this request"
            raise TokenError(
                f"the cluster at {self.address} rejects the token in {source}: {HOW_TO_GIVE}"
            )
        if answer.status != 200:
            raise SubmissionError(
                f"the cluster at {self.address} refused the request with status "
                f"{answer.status}{_reason(answer.body)}"
            )

    def _not_rays(self) -> SubmissionError:
        return SubmissionError(
            f"the server at {self.address} is not the job server of a recent Ray"
        )


def _reason(body: bytes) -> str:
    """Return the last line of an answer, in which Ray's tracebacks name the error."""
    lines = body[-MAX_CAUSE:].decode("utf-8", "replace").strip().splitlines()
    line = "".join(c if c.isprintable() else "?" for c in lines[-1]) if lines else ""
    return f": {line}" if line else ""

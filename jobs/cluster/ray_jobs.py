"""Client of Ray's job server, with one sentence per error."""

import asyncio
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from jobs.cluster.address import is_local, job_server
from jobs.cluster.tokens import HOW_TO_GIVE, HOW_TO_MAKE, Token, find_token
from jobs.errors import SubmissionError, TokenError, one_sentence

T = TypeVar("T")

ANSWER_SECONDS = 10.0
_VERBOSE_LOGGERS = (  # they log every step to stderr
    "ray.dashboard.modules.job.sdk",
    "ray.dashboard.modules.dashboard_sdk",
    "ray._private.runtime_env.packaging",
)
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray prefers them to a given address


class JobServer:
    """The job server of one cluster.

    Args:
        address: its URL, such as http://127.0.0.1:8265.

    Raises:
        SubmissionError: the address is not a URL, or no job server answers there.
        TokenError: the cluster is on another machine and requires no token, or it requires a token
            and there is none or a wrong one.
    """

    def __init__(self, address: str) -> None:
        for name in _VERBOSE_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self.address = job_server(address)
        token = _token(self.address)
        headers = {"Authorization": f"Bearer {token.text}"} if token else None
        with self._answering(), _without(_OVERRIDES):
            try:
                self._client = JobSubmissionClient(self.address, headers=headers)
            except (
                RuntimeError,
                ValueError,
                LookupError,
                TypeError,
            ):  # from its check of the version
                raise _not_rays(self.address) from None

    def submit(
        self,
        entrypoint: str,
        submission_id: str,
        runtime_env: dict[str, object],
        metadata: dict[str, str],
    ) -> str:
        """Start a job with these arguments of Ray's `submit_job`; returns its id."""
        return self._ask(
            lambda: self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=submission_id,
                runtime_env=runtime_env,
                metadata=metadata,
            )
        )

    def job(self, job_id: str) -> JobDetails | None:
        """Return Ray's record of a job, or None for an unknown id."""
        with self._answering():
            try:
                return self._client.get_job_info(job_id)
            except RuntimeError as error:
                if "status code 404" in str(error):
                    return None
                raise SubmissionError(self._refused(error)) from None

    def jobs(self) -> list[JobDetails]:
        """Return Ray's records of all jobs of this cluster."""
        return self._ask(self._client.list_jobs)

    def logs(self, job_id: str) -> str:
        """Return the output of a job so far."""
        return self._ask(lambda: self._client.get_job_logs(job_id))

    def follow(self, job_id: str) -> Iterator[str]:
        """Yield the output of a job in pieces, until the job or the server ends."""
        pieces = cast(AsyncGenerator[str, None], self._client.tail_job_logs(job_id))
        with asyncio.Runner() as runner:  # cancels the task on Ctrl-C

            def next_piece() -> str | None:
                return runner.run(_next(pieces))

            while (piece := self._ask(next_piece)) is not None:
                yield piece

    def stop(self, job_id: str) -> bool:
        """Request that a job stops, without waiting; returns False if it has ended."""
        return self._ask(lambda: self._client.stop_job(job_id))

    def _ask(self, request: Callable[[], T]) -> T:
        with self._answering():
            try:
                return request()
            except RuntimeError as error:
                raise SubmissionError(self._refused(error)) from None

    def _refused(self, error: RuntimeError) -> str:
        return f"the cluster at {self.address} refused the request: {one_sentence(error)}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError:
            raise _refused_token(self.address) from None
        except OSError as error:  # requests' errors and most of aiohttp's are, and TimeoutError
            raise _unreachable(self.address, error) from None


async def _next(pieces: AsyncGenerator[str, None]) -> str | None:
    """Return the next piece, or None after the last."""
    return await anext(pieces, None)


def _token(address: str) -> Token | None:
    """Return the token for the cluster; refuse a remote cluster that requires none."""
    if _mode(address) != "token":
        if is_local(address):
            return None
        raise TokenError(
            f"the cluster at {address} requires no token, so anyone who reaches it could run code "
            f"on it: {HOW_TO_MAKE}"
        )
    token = find_token()
    if token is None:
        raise TokenError(f"the cluster at {address} requires a token: {HOW_TO_GIVE}")
    return token


def _mode(address: str) -> str:
    """Return the authentication mode of the cluster: "token" or "disabled"."""
    try:
        with urllib.request.urlopen(  # job_server lets only http and https through
            f"{address}/api/authentication_mode", timeout=ANSWER_SECONDS
        ) as answer:
            return str(json.loads(answer.read(1000))["authentication_mode"])
    except (urllib.error.HTTPError, ValueError, LookupError, TypeError, RecursionError):
        raise _not_rays(address) from None
    except OSError as error:
        raise _unreachable(address, error) from None


def _not_rays(address: str) -> SubmissionError:
    return SubmissionError(f"the server at {address} is not the job server of a recent Ray")


def _unreachable(address: str, error: OSError) -> SubmissionError:
    cause = getattr(error, "reason", error)  # urllib's errors carry the socket's
    why = getattr(cause, "strerror", None) or one_sentence(cause)
    return SubmissionError(f"no cluster answers at {address}: {why}")


def _refused_token(address: str) -> TokenError:
    token = find_token()
    return TokenError(
        f"the cluster at {address} rejects the token in "
        f"{token.source if token else 'this request'}: {HOW_TO_GIVE}"
    )


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Remove environment variables for the duration of the context."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)

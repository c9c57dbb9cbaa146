"""Ray's job server, spoken to only where that is safe, and its answers in one sentence each."""

import asyncio
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from jobs.cluster.address import is_local, job_server
from jobs.cluster.tokens import HOW_TO_GIVE, HOW_TO_MAKE, Token, find_token
from jobs.errors import SubmissionError, TokenError, one_sentence

T = TypeVar("T")

ANSWER_SECONDS = 10.0
_TALKATIVE = (  # loggers that tell every step on stderr
    "ray.dashboard.modules.job.sdk",
    "ray.dashboard.modules.dashboard_sdk",
    "ray._private.runtime_env.packaging",
)
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # of them Ray would take any before ours


class JobServer:
    """The job server of one cluster.

    Args:
        address: its URL, such as http://127.0.0.1:8265.

    Raises:
        SubmissionError: not a URL, or no job server answers there.
        TokenError: the cluster is on another machine and asks for no token, or it asks for one and
            there is none, or another.
    """

    def __init__(self, address: str) -> None:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self.address = job_server(address)
        token = _token(self.address)
        headers = {"Authorization": f"Bearer {token.text}"} if token else None
        with self._answering(), _without(_OVERRIDES):
            try:
                self._client = JobSubmissionClient(self.address, headers=headers)
            except (RuntimeError, ValueError, LookupError, TypeError):  # it asks for the version
                raise _not_rays(self.address) from None

    def submit(self, **request: Any) -> str:
        """Start a job; the arguments are those of Ray's `submit_job`. Returns its id."""
        return self._ask(lambda: self._client.submit_job(**request))

    def job(self, job_id: str) -> JobDetails | None:
        """What Ray knows about a job, None if it knows none of this id."""
        with self._answering():
            try:
                return self._client.get_job_info(job_id)
            except RuntimeError as error:
                if "status code 404" in str(error):
                    return None
                raise SubmissionError(self._refused(error)) from None

    def jobs(self) -> list[JobDetails]:
        """What Ray knows about every job that this cluster has had."""
        return self._ask(self._client.list_jobs)

    def logs(self, job_id: str) -> str:
        """All that a job has printed."""
        return self._ask(lambda: self._client.get_job_logs(job_id))

    def follow(self, job_id: str) -> Iterator[str]:
        """What a job has printed and prints, in pieces, until it ends or the server does."""
        pieces = cast(AsyncGenerator[str, None], self._client.tail_job_logs(job_id))
        with asyncio.Runner() as runner:  # which ends what Ctrl-C interrupts

            def next_piece() -> str | None:
                return runner.run(_next(pieces))

            while (piece := self._ask(next_piece)) is not None:
                yield piece

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop, without waiting; false if it has ended."""
        return self._ask(lambda: self._client.stop_job(job_id))

    def _ask(self, request: Callable[[], T]) -> T:
        with self._answering():
            try:
                return request()
            except RuntimeError as error:
                raise SubmissionError(self._refused(error)) from None

    def _refused(self, error: RuntimeError) -> str:
        return f"the cluster at {self.address} refuses: {one_sentence(error)}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError:
            raise _refused_token(self.address) from None
        except OSError as error:  # requests' errors and most of aiohttp's are, and TimeoutError
            raise _unreachable(self.address, error) from None


async def _next(pieces: AsyncGenerator[str, None]) -> str | None:
    """The next piece, None after the last."""
    return await anext(pieces, None)


def _token(address: str) -> Token | None:
    """What to show the cluster; refuses one on other machines that anyone may use."""
    asks = _mode(address) == "token"
    if not asks:
        if is_local(address):
            return None
        raise TokenError(
            f"the cluster at {address} asks for no token, so that whoever reaches it may run code "
            f"on it, and is not used: {HOW_TO_MAKE}"
        )
    token = find_token()
    if token is None:
        raise TokenError(f"the cluster at {address} asks for a token: {HOW_TO_GIVE}")
    return token


def _mode(address: str) -> str:
    """Whether the cluster asks for a token, which Ray tells everyone: "token" or "disabled"."""
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
    return SubmissionError(f"what answers at {address} is not the job server of a recent Ray")


def _unreachable(address: str, error: OSError) -> SubmissionError:
    cause = getattr(error, "reason", error)  # urllib's errors carry the socket's
    why = getattr(cause, "strerror", None) or one_sentence(cause)
    return SubmissionError(f"no cluster answers at {address}: {why}")


def _refused_token(address: str) -> TokenError:
    token = find_token()
    return TokenError(
        f"the cluster at {address} does not take the token in "
        f"{token.source if token else 'this request'}: {HOW_TO_GIVE}"
    )


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """The environment without some variables: Ray lets them win over an address that was given."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)

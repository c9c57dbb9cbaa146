"""The URL of a cluster's job server. Light: it is imported for `--help`."""

import ipaddress
from urllib.parse import urlsplit

from jobs.errors import SubmissionError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"  # Ray's own, and what `ray dashboard` forwards to


def job_server(address: str) -> str:
    """The URL as scheme://host or scheme://host:port.

    Raises:
        SubmissionError: it is another kind of address, or has more to it than these.
    """
    try:
        url = urlsplit(address)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # a port or a bracketed address that cannot be
        raise _wrong(address) from None
    if not good or "@" in url.netloc or url.query or url.fragment or url.path.strip("/"):
        raise _wrong(address)
    return f"{url.scheme}://{url.netloc}"


def is_local(address: str) -> bool:
    """Whether a URL's host is this machine's loopback, which no other machine reaches."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(address: str) -> SubmissionError:
    before, at, after = address.rpartition("@")  # what is before may be a secret
    return SubmissionError(
        f"--address must be the URL of a cluster's job server, such as {DEFAULT_ADDRESS}, "
        f"got {'...@' + after if at and before else address!r}"
    )

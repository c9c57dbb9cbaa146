"""The URL of a cluster's job server. Imported for `--help`, so it stays light."""

import ipaddress
from urllib.parse import urlsplit

from jobs.errors import SubmissionError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"  # the default of Ray and of `ray dashboard`


def job_server(address: str) -> str:
    """Normalise a URL to scheme://host or scheme://host:port.

    Raises:
        SubmissionError: the address is not such a URL, or has further parts.
    """
    try:
        url = urlsplit(address)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # an invalid port or bracketed address
        raise _wrong(address) from None
    if not good or "@" in url.netloc or url.query or url.fragment or url.path.strip("/"):
        raise _wrong(address)
    return f"{url.scheme}://{url.netloc}"


def is_local(address: str) -> bool:
    """Return whether the host of a URL is the loopback address of this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(address: str) -> SubmissionError:
    before, at, after = address.rpartition("@")  # the part before @ may be a secret
    return SubmissionError(
        f"--address must be the URL of a cluster's job server, such as {DEFAULT_ADDRESS}, "
        f"got {'...@' + after if at and before else address!r}"
    )

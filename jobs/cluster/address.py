"""The URL of a cluster's job server. Imported for `--help`, so it stays light."""

import ipaddress
import re
from urllib.parse import urlsplit

from jobs.errors import SubmissionError
from results.uri import shown

DEFAULT_ADDRESS = "http://127.0.0.1:8265"  # the default of Ray and of `ray dashboard`
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # which every resolver reads alike


def job_server(address: str) -> str:
    """Normalise a URL to scheme://host or scheme://host:port.

    Raises:
        SubmissionError: the address is not such a URL, or has further parts.
    """
    try:
        url = urlsplit(address)
        good = url.scheme in ("http", "https") and url.port != 0
        good = good and HOST.fullmatch(url.hostname or "") is not None
    except ValueError:  # an invalid port or bracketed address
        raise _wrong(address) from None
    if not good or "@" in url.netloc or url.query or url.fragment or url.path.strip("/"):
        raise _wrong(address)
    return f"{url.scheme}://{url.netloc}"


def is_loopback(ip: str) -> bool:
    """Return whether an IP address is one of this machine's loopback addresses."""
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _wrong(address: str) -> SubmissionError:
    return SubmissionError(
        f"--address must be the URL of a cluster's job server, such as {DEFAULT_ADDRESS}, "
        f"got {shown(address)!r}"
    )

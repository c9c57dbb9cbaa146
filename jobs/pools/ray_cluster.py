"""Connection to a Ray cluster, started here or joined; one of several machines needs a token."""

import logging
import os
import socket
from collections.abc import Callable

import ray
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.authentication.authentication_utils import is_token_auth_enabled

from jobs.cluster.tokens import HOW_TO_MAKE, find_token, make_private
from jobs.errors import PoolError, TokenError, one_sentence
from jobs.pools.local import usable_cpus
from jobs.signals import notices_blocked

CONNECT_SECONDS = 10.0  # after which a cluster counts as absent


def connect(address: str, workers: int | None, announce: Callable[[str], None]) -> None:
    """Connect this process to a cluster.

    Args:
        address: "local" starts a cluster on this machine, "auto" or another address joins one.
        workers: CPU slots of a cluster that is started here; by default one per core.
        announce: called with a sentence before each wait.

    Raises:
        PoolError: no cluster at `address`, or it rejects the token.
        TokenError: a cluster of several machines that requires no token, or a token file that
            others can read.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local":
        announce("starting Ray on this machine (up to half a minute)")
        make_private()
        with notices_blocked():
            ray.init(
                "local",
                num_cpus=workers or usable_cpus(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        return
    announce(f"joining the Ray cluster at {address}")
    try:
        if address != "auto":
            _check_address(address)
        send_token()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except TokenError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise PoolError(
            f"no Ray cluster at {address!r}, or one for another token: {one_sentence(error)}"
        ) from None
    refuse_open_cluster()


def send_token() -> None:
    """Make Ray send the user's token, which it does by itself only with address "auto".

    Raises:
        TokenError: the token file is invalid, or others can read it.
    """
    if find_token() is not None:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def refuse_open_cluster() -> None:
    """Disconnect from a cluster of several machines that requires no token.

    Raises:
        TokenError: the cluster is one.
    """
    machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(machines) > 1 and not is_token_auth_enabled():
        ray.shutdown()
        raise TokenError(
            f"this cluster spans {len(machines)} machines and requires no token, so anyone who "
            f"reaches it could run code on it; it is not used: {HOW_TO_MAKE}"
        )


def _check_address(address: str) -> None:
    """Check that something listens at an address, because Ray would retry for many minutes.

    Raises:
        ValueError: it is not "host:port" or "ray://host:port".
        OSError: nothing answers.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address must be auto, host:port or ray://host:port")
    socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()

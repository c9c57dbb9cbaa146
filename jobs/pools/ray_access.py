"""Joining a Ray cluster, or starting one here: with a token, and only if others need one too."""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import ray
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.authentication.authentication_utils import is_token_auth_enabled

from jobs.cluster.tokens import HOW_TO_MAKE, find_token, make_private
from jobs.errors import PoolError, TokenError, one_sentence
from jobs.pools.local import usable_cpus
from jobs.pools.ray_imports import refuse_hidden_packages

ANSWER_SECONDS = 10.0  # after which a cluster counts as absent


def connect(address: str, workers: int | None, announce: Callable[[str], None]) -> None:
    """Start Ray in this process.

    Args:
        address: "local" for a cluster on this machine, "auto" or another for one that is joined.
        workers: CPU slots of a cluster that is started here; by default its cores.
        announce: told what is being waited for.

    Raises:
        PoolError: no cluster at `address`, or it does not let us in, or a file in the current
            folder hides a package from the workers.
        TokenError: a cluster of several machines that asks for no token, or a token's file that
            others can read.
    """
    refuse_hidden_packages(Path.cwd())
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local":
        announce("starting Ray on this machine (up to half a minute)")
        make_private()
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
            _knock(address)
        show_token()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except TokenError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise PoolError(
            f"no Ray cluster at {address!r}, or one for another token: {one_sentence(error)}"
        ) from None
    refuse_open_cluster()


def show_token() -> None:
    """Have Ray show the token that there is, which it does by itself only with address "auto".

    Raises:
        TokenError: the token's file is no good, or others can read it.
    """
    if find_token() is not None:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def refuse_open_cluster() -> None:
    """Leave the cluster that was joined if it spans machines and asks for no token.

    Raises:
        TokenError: it does.
    """
    machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(machines) > 1 and not is_token_auth_enabled():
        ray.shutdown()
        raise TokenError(
            f"this cluster spans {len(machines)} machines and asks for no token, so that whoever "
            f"reaches it may run code on it, and is not used: {HOW_TO_MAKE}"
        )


def _knock(address: str) -> None:
    """Find out whether anything listens there: Ray itself would try for many minutes.

    Raises:
        ValueError: not "auto", "host:port" or "ray://host:port".
        OSError: nothing answers.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is auto, host:port or ray://host:port")
    socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()

"""Connection to a Ray cluster, started here or joined; one of several machines needs a token."""

import json
import logging
import os
import socket
from collections.abc import Callable

import ray
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.experimental import internal_kv

from jobs.cluster.tokens import HOW_TO_MAKE, find_token, make_private
from jobs.errors import PoolError, TokenError, one_sentence
from jobs.pools.machine import usable_cpus
from jobs.signals import notices_blocked

CONNECT_SECONDS = 10.0  # after which a cluster counts as absent


def connect(address: str, workers: int | None, announce: Callable[[str], None]) -> None:
    """Connect this process to a cluster.

    Args:
        address: "local" starts a cluster on this machine, "auto" or another address joins one.
        workers: CPU slots of a cluster that is started here; by default one per core.
        announce: called with a sentence before each wait.

    Raises:
        PoolError: no cluster at `address`, or it rejects the token, or Ray does not start here.
        TokenError: a cluster of several machines that requires no token, or a token file that
            others can read.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local":
        announce("starting Ray on this machine (up to half a minute)")
        make_private()
        try:
            with notices_blocked():
                ray.init(
                    "local",
                    num_cpus=workers or usable_cpus(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        except Exception as error:  # of any class: it may not even be able to name the user
            ray.shutdown()
            raise PoolError(f"Ray does not start: {one_sentence(error)}{_folder_hint()}") from None
        return
    if "@" in address:  # what stands before it may be a secret, and nothing belongs there
        raise PoolError(f"--address ...@{address.rpartition('@')[2]} must have no user or password")
    announce(f"joining the Ray cluster at {address}")
    try:
        if address != "auto":
            _check_address(address)
        send_token()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except TokenError:
        raise
    except Exception as error:  # of any class, as above
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


def _folder_hint() -> str:
    """Return which variable names the folder of Ray's files, if any does."""
    named = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    return f"; its files are below {named}={os.environ[named]}" if named else ""


def room(resource: str) -> str:
    """Return how many of a resource, "CPU" or "GPU", the cluster has, and how many are free."""
    whole = ray.cluster_resources().get(resource, 0)
    return f"the cluster has {whole:g} {resource}s, of which {free(resource):g} are free"


def free(resource: str) -> float:
    """Return how many of a resource, "CPU" or "GPU", nobody uses now."""
    return float(ray.available_resources().get(resource, 0))


def grows_by_itself() -> bool:
    """Return whether an autoscaler may start machines for this cluster.

    A cluster without one has a monitor all the same, which reports every machine as a type of its
    own, named node_ and an id. The second version of the autoscaler (KubeRay) reports elsewhere.
    """
    report = internal_kv._internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    if report is None:
        return True
    types = json.loads(report).get("autoscaler_report", {}).get("active_nodes", {})
    return any(not name.startswith("node_") for name in types)


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

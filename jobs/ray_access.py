"""Joining a Ray cluster: with the token that there is, and only if others need one too."""

import ray
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.authentication.authentication_utils import is_token_auth_enabled

from jobs.errors import TokenError
from jobs.tokens import HOW_TO_MAKE, find_token


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

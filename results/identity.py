"""Run ids: the hash of everything that determines a result."""

import hashlib
import json
from collections.abc import Mapping

ID_LENGTH = 20
"""Hexadecimal digits of a run id: 80 bits, so that a clash among 10^9 runs has odds below 10^-6."""


def run_id(settings: Mapping[str, object]) -> str:
    """Return the id of a run: a prefix of the SHA-256 of its settings, in JSON.

    Args:
        settings: values by column of `runs`; of columns that later versions of the schema added,
            only the values that differ from that of all earlier runs.
    """
    return hashed(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())


def hashed(text: bytes) -> str:
    """Return the id of settings that are written as JSON, sorted and without spaces."""
    return hashlib.sha256(text).hexdigest()[:ID_LENGTH]

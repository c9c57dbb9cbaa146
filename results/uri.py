"""URIs of ledgers, which name a place and never a credential.

They are printed, logged, stored with jobs and listed to every user of a cluster.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote


class _Store(NamedTuple):
    """What its URIs may hold.

    Attributes:
        credentials: the environment variables that its client reads instead.
        keys: of the query, as Arrow knows them, whose values are no secrets.
        user: pattern of what may stand before @ and is no secret: a container, an account, nobody.
    """

    credentials: str = "the environment"
    keys: tuple[str, ...] = ()
    user: str = ""


_AZURE = _Store(
    "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    (
        *("credential_kind", "tenant_id", "client_id", "enable_tls", "background_writes"),
        *("blob_storage_authority", "dfs_storage_authority"),
    ),
    "[a-z0-9][a-z0-9-]{2,62}",
)
_GOOGLE = _Store(
    "GOOGLE_APPLICATION_CREDENTIALS",
    ("scheme", "endpoint_override", "project_id", "retry_limit_seconds"),
    "anonymous",
)
_AMAZON = _Store(
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    (
        *("region", "scheme", "endpoint_override", "smart_defaults", "allow_delayed_open"),
        *("allow_bucket_creation", "allow_bucket_deletion", "tls_ca_file_path"),
        *("tls_ca_dir_path", "tls_verify_certificates"),
    ),
)
_HADOOP = _Store(keys=("replication", "kerb_ticket"), user="[a-z_][a-z0-9_-]{0,31}")
_STORES = {
    "s3": _AMAZON,
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("abfs", "abfss"), _AZURE),
    **dict.fromkeys(("hdfs", "viewfs"), _HADOOP),
}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9._-]*)(:[0-9]*)?")
_VALUE = re.compile(r"[A-Za-z0-9_.:/~-]*")
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>.,:;!?)]")
_AS_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(?!/)[^\s'\"<>]*@")  # pathlib joins slashes
_LEFT_OUT = "..."


def shown(place: str) -> str:
    """Return a URI as it may be shown; a local path is returned as it is.

    Shown are the scheme, the host or bucket, the path, and those parts of the query that are known
    not to be secret. What is left out becomes "...".
    """
    scheme, mark, rest = place.partition("://")
    if not mark:
        return place
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        scheme = _LEFT_OUT
    store = _STORES.get(scheme.lower(), _Store())
    user, at, rest = rest.rpartition("@")  # a secret may contain any character before it
    if at and not re.fullmatch(store.user, user):
        user = _LEFT_OUT
    rest, fragment, _ = rest.partition("#")
    rest, question, query = rest.partition("?")
    host, slash, path = rest.partition("/")
    host = host if _HOST.fullmatch(host) else _LEFT_OUT
    parts = [part if _harmless(part, store) else _LEFT_OUT for part in query.split("&")]
    end = f"#{_LEFT_OUT}" if fragment else ""
    return f"{scheme}://{user}{at}{host}{slash}{path}{question}{'&'.join(parts)}{end}"


def masked(text: str) -> str:
    """Return a text with every URI in it as it may be shown."""
    text = _IN_TEXT.sub(lambda match: shown(match[0]), text)
    return _AS_PATH.sub(rf"\1:/{_LEFT_OUT}@", text)


def refusal(place: str) -> str | None:
    """Return why a place is refused, in words that follow what it is the place of, or None.

    Refused is what cannot be shown as a whole, so that a new kind of secret is refused as well.
    """
    scheme, mark, _ = place.partition("://")
    if not mark and (word := place.partition(":")[0]).lower() in _STORES:
        return f"that begins with {word}: is no folder: a URI begins with {word}://"
    if shown(place) == place:
        return None
    store = _STORES.get(scheme.lower(), _Store())
    allowed = f"only {', '.join(store.keys)} are allowed" if store.keys else "nothing is allowed"
    return (
        f"{shown(place)!r} holds a key, or what may be one (left out here as ...), and URIs are "
        f"printed and listed: put keys into {store.credentials}; after ? {allowed}"
    )


def _harmless(part: str, store: _Store) -> bool:
    key, _, value = part.partition("=")
    return not part or (key in store.keys and _VALUE.fullmatch(unquote(value)) is not None)

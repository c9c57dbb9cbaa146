"""URIs as they are shown, and those that are refused because they may hold a secret."""

import pyarrow.fs as pafs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import results
from results import LedgerError
from results.uri import masked, refusal, shown

KEY = "S3CR3T"

SOUND = (
    *("runs", "/data/my runs", "~/runs", "C:\\runs", "", "file:///runs", "s3://bucket/a/b"),
    "s3://bucket/runs?region=eu-west-1&scheme=http&endpoint_override=127.0.0.1%3A9000",
    "s3://bucket/runs?endpoint_override=http://127.0.0.1:9000&allow_bucket_creation=true",
    *("gs://bucket/runs", "gs://anonymous@bucket/runs?scheme=http", "gs://bucket?project_id=a-b"),
    "abfs://container@account.dfs.core.windows.net/runs?tenant_id=1-2&client_id=3-4",
    *("hdfs://me@name-node:8020/runs?replication=2", "mock:///runs"),
)
"""Places that hold no secret."""

WITH_KEY = (
    *(f"s3://ID:{KEY}@bucket/runs", f"s3://{KEY}@bucket/runs", f"S3://ID:{KEY}@bucket/runs"),
    *(f"s3://ID:{KEY}/x@bucket/runs", f"s3://ID:{KEY}?#@bucket", f"s3://ID:a@{KEY}@bucket/runs"),
    *(f"s3://ID:{KEY}/runs", f"s3://ID%3A{KEY}%40bucket/runs", f"s3://bucket/runs#{KEY}"),
    f"s3://bucket/runs?secret_key={KEY}",
    f"s3://bucket/runs?region=x&session_token={KEY}",
    f"s3://bucket/runs?region=x;secret_key={KEY}",
    f"s3://bucket/runs?%73ecret_key={KEY}",
    f"s3://bucket/runs?Region={KEY}",
    f"s3://bucket/runs?{KEY}",
    f"s3://bucket/runs?region=x?secret_key={KEY}",
    f"s3://bucket/runs?X-Amz-Signature={KEY}",
    f"s3://bucket/runs?endpoint_override=http://ID:{KEY}@127.0.0.1:9000",
    f"s3://bucket/runs?endpoint_override=http%3A%2F%2FID%3A{KEY}%40127.0.0.1",
    f"gs://{KEY}@bucket/runs",
    f"gs://anonymous:{KEY}@bucket/runs",
    f"gs://bucket/runs?access_token={KEY}",
    f"abfs://container:{KEY}@account.dfs.core.windows.net/runs",
    f"abfs://{KEY}==@account.dfs.core.windows.net/runs",
    f"abfs://container@account.dfs.core.windows.net/runs?client_secret={KEY}&client_id=1",
    f"abfss://container@account.dfs.core.windows.net/runs?account_key={KEY}",
    f"abfss://container@account.dfs.core.windows.net/runs?sas_token={KEY}",
    f"abfs://container@account.dfs.core.windows.net/runs?sv=2020&sp=r&sig={KEY}",
    f"https://me:{KEY}@example.org/runs",
    f"https://example.org/runs?token={KEY}",
    f"hdfs://me:{KEY}@name-node/runs",
    f"unknown://bucket?secret={KEY}",
    *(f"{KEY}@x://bucket", f"s3:/ID:{KEY}@bucket/runs", f"s3:ID:{KEY}@bucket/runs"),
)
"""Places of which KEY must not be shown, and that are no ledgers."""


@pytest.mark.parametrize("place", SOUND)
def test_place_without_secret_is_shown_as_it_is(place: str) -> None:
    assert shown(place) == place
    assert refusal(place) is None


@pytest.mark.parametrize("place", WITH_KEY)
def test_place_with_key_is_refused_without_showing_it(place: str) -> None:
    with pytest.raises(LedgerError, match=r"holds a key|is no folder") as error:
        results.open(place, create=True)
    assert KEY not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


@pytest.mark.parametrize("place", WITH_KEY)
def test_text_is_masked(place: str) -> None:
    if not place.startswith(("s3:ID", KEY)):  # no URI, and no path of one
        assert KEY not in masked(f"cannot open {place!r}: no such file")


@pytest.mark.parametrize("place", SOUND)
def test_text_without_secret_stays(place: str) -> None:
    text = f"cannot open {place!r} (at {place}): see https://example.org/page."
    assert masked(text) == text


@pytest.mark.parametrize(
    ("scheme", "variable"),
    [
        ("s3", "AWS_SECRET_ACCESS_KEY"),
        ("gs", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfss", "AZURE_CLIENT_SECRET"),
    ],
)
def test_refusal_names_the_variable_for_the_key(scheme: str, variable: str) -> None:
    assert variable in str(refusal(f"{scheme}://ID:{KEY}@bucket"))


def test_key_is_refused_on_a_given_file_system_too() -> None:
    with pytest.raises(LedgerError, match="holds a key") as error:
        results.open(f"s3://ID:{KEY}@bucket", filesystem=pafs.LocalFileSystem())
    assert KEY not in str(error.value)


@given(
    st.sampled_from(["s3", "gs", "abfs", "x", "S3"]),
    st.text(max_size=8),
    st.sampled_from(["{}@bucket/p", "a:{}@bucket", "bucket/p?k={}", "bucket?{}", "b?region=x&{}"]),
    st.text(max_size=8),
)
def test_no_secret_of_any_shape_is_shown(scheme: str, before: str, place: str, after: str) -> None:
    uri = f"{scheme}://{place.format(before + KEY + after)}"
    assert KEY not in shown(uri)
    assert refusal(uri) is not None
    assert shown(shown(uri)) == shown(uri)

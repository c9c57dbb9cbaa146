"""The server of the dashboard: what it answers, to whom, and that it writes nothing."""

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import synthetic_ledger as synthetic
from command import called
from dashboard_server import cells, dashboard, thesis, write
from http_server import http_server, job_server

import results
from jobs.cli.dashboard import ledger_of_job
from jobs.cluster.job_progress import JobProgress
from jobs.cluster.ray_jobs import JobServer
from jobs.errors import CommandError
from results.page.conclusion import conclusion
from results.storage.announcements import Announcement, Planned

NAME = "digits-relu"


class Answer:
    """The answer to one request."""

    def __init__(self, found: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = found.status, found.headers, found.read()

    @property
    def data(self) -> Any:
        return json.loads(self.body)


def ask(address: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """Request a path; a header `Host` replaces the true one."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return Answer(connection.getresponse())
    finally:
        connection.close()


def api(address: str, what: str, **parameters: object) -> Any:
    answer = ask(address, f"/api/{what}?{urlencode(parameters, doseq=True)}")
    assert answer.status == 200, answer.body
    return answer.data


def overview(address: str, runs: int) -> Any:
    """Return the overview once it has this number of runs."""
    end = time.monotonic() + 120
    while True:
        found = api(address, "overview")
        if sum(each["runs"] for each in found["experiments"]) == runs or time.monotonic() > end:
            return found
        time.sleep(0.05)


def once(address: str, **known: object) -> Any:
    """Return the only experiment once it has these facts."""
    end = time.monotonic() + 120
    while True:
        (found,) = api(address, "overview")["experiments"]
        if known.items() <= found.items():
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard") / "runs"
    thesis(folder)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with dashboard(results.open(folder)) as found:
        overview(found, 270)
        yield found


def test_overview_counts_what_the_ledger_has(address: str, folder: Path) -> None:
    (found,) = overview(address, 270)["experiments"]
    ledger = results.open(folder)
    counted = dict(ledger.runs()["outcome"].value_counts())
    assert {word: number for word, number in found["outcomes"].items() if number} == counted
    assert found["verdicts"] == dict(ledger.verdicts()["verdict"].value_counts())
    assert found["conclusion"] == conclusion(ledger.verdicts().to_dict("records"))
    assert found["state"] == "finished"


def test_landscapes_hold_the_means_of_the_ledger(address: str, folder: Path) -> None:
    ledger = results.open(folder)
    (section,) = api(address, "experiment", name=NAME)["sections"]
    by_variant = {each["variant"]: each for each in section["landscapes"]}
    assert set(by_variant) == {"mupc", "sp", "bp"}
    for panel in by_variant["mupc"]["panels"]:
        expected = cells(ledger, variant="mupc", depth=panel["depth"])
        shown = {tuple(cell["at"]): cell["loss"] for cell in panel["cells"] if cell["loss"]}
        assert shown == pytest.approx(expected)
        best = min(panel["cells"], key=lambda cell: cell["loss"] or 9)
        if panel["depth"] == 8:
            assert panel["best"]["at"] == best["at"]
            low, high = panel["region"]["estimates"]["weight_lr"][1:]
            assert low < best["at"][0] < high
    assert [axis["name"] for axis in by_variant["bp"]["axes"]] == ["weight_lr"]


def test_curves_and_layers_are_those_of_the_ledger(address: str, folder: Path) -> None:
    ledger = results.open(folder)
    where = {"variant": "mupc", "width": 32, "depth": 16}
    at = {"weight_lr": 0.1, "activity_lr": 1}
    rates = [f"{rate}={value}" for rate, value in at.items()]
    lines = api(address, "curves", name=NAME, **where, rate=rates)["lines"]
    runs = ledger.runs(**where, **at)
    assert {line["run"] for line in lines} == set(runs["run_id"])
    for line in lines:
        curve = ledger.curves(run_id=line["run"])
        assert line["step"] == list(curve["step"])
        assert line["train_loss"] == pytest.approx(list(curve["train_loss"]))
    layers = api(address, "layers", name=NAME)
    deepest = next(each for each in layers if each["variant"] == "mupc" and "32" in each["shape"])
    medians = ledger.layers(**where).groupby("layer")["change"].median()
    some = next(each for each in layers if each["label"] == "μPC" and each["layer"][-1] == 17)
    assert some["change"] == pytest.approx(list(medians))
    assert deepest["layer"][0] == 1


@pytest.mark.parametrize(
    ("where", "query"),
    [
        (["outcome=diverged"], "outcome == 'diverged'"),
        (["depth>8", "variant=mupc,sp"], "depth > 8 and variant in ['mupc', 'sp']"),
        (["activity_lr=null"], "activity_lr.isna()"),
        (["outcome!=trained"], "outcome != 'trained'"),
    ],
)
def test_table_is_filtered_as_the_command_filters(
    where: list[str], query: str, address: str, folder: Path
) -> None:
    expected = results.open(folder).runs().query(query)
    found = api(address, "runs", name=NAME, where=where)
    assert found["total"] == len(expected)
    place = found["columns"].index("run_id")
    assert {row[place] for row in found["rows"]} <= set(expected["run_id"])


def test_table_is_sorted_and_paged(address: str, folder: Path) -> None:
    expected = results.open(folder).runs()["final_train_loss"].dropna().sort_values()
    rows: list[Any] = []
    for first in (0, 100):
        found = api(address, "runs", name=NAME, sort="final_train_loss", first=first)
        rows += [row[found["columns"].index("final_train_loss")] for row in found["rows"]]
    assert [value for value in rows if value is not None] == pytest.approx(list(expected)[:200])


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/experiment?name=nothing", 400, "there is no experiment 'nothing'"),
        ("/api/experiment", 400, "name is missing"),
        (f"/api/runs?name={NAME}&where=depht=8", 400, "did you mean 'depth'"),
        (f"/api/runs?name={NAME}&where=depth", 400, "must be column=value"),
        (f"/api/runs?name={NAME}&sort=nothing", 400, "no column 'nothing'"),
        (f"/api/runs?name={NAME}&first=nan", 400, "finite"),
        (f"/api/curves?name={NAME}&width=x&depth=1&variant=a", 400, "width must be a number"),
        (f"/api/curves?name={NAME}&width=1&depth=1&variant=a", 400, "rate must be name=value"),
        (f"/api/layers?name={NAME}&section=9", 400, "no section 9"),
        ("/api/comparison?one=a&other=b", 400, "unknown experiment"),
        ("/static/../server.py", 404, ""),
        ("/static/%2e%2e%2fserver.py", 404, ""),
        ("/static/index.html", 404, ""),
        ("/nothing", 404, ""),
        ("/api/experiment?name=" + "x" * 5000, 400, "name is missing"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(
    path: str, status: int, words: str, address: str
) -> None:
    answer = ask(address, path)
    assert answer.status == status
    assert words in answer.body.decode()
    assert b"Traceback" not in answer.body


def test_an_answer_that_has_not_changed_is_not_sent_again(address: str) -> None:
    path = f"/api/experiment?name={NAME}"
    first = ask(address, path)
    again = ask(address, path, If_None_Match=str(first.headers["ETag"]))
    assert (first.status, again.status, again.body) == (200, 304, b"")


@pytest.mark.parametrize("path", ["/", "/api/overview", "/static/main.js", "/plotly.js", "/x"])
def test_every_answer_forbids_what_the_page_does_not_do(path: str, address: str) -> None:
    headers = ask(address, path).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"  # neither inline nor eval
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in policy["style-src"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_page_refers_to_this_server_alone(address: str) -> None:
    static = Path(__file__).parents[2] / "jobs" / "dashboard" / "static"
    for path in static.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert "innerHTML" not in text, path
    page = ask(address, "/").body.decode()
    assert " on" not in page.replace(" on ", "")  # no handler in the markup
    assert "<script>" not in page


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_of_another_site_is_refused(host: str, address: str) -> None:
    """A page elsewhere may let its own name resolve to 127.0.0.1 (DNS rebinding)."""
    assert ask(address, "/api/overview", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_names_of_loopback_are_served(host: str, address: str) -> None:
    assert ask(address, "/api/overview", Host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_reading_is_allowed(method: str, address: str) -> None:
    assert ask(address, "/api/overview", method).status == 405


def test_nothing_is_written(folder: Path, address: str) -> None:
    def digests() -> dict[str, str]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = digests()
    api(address, "experiment", name=NAME)
    api(address, "layers", name=NAME)
    assert digests() == before


def test_elsewhere_a_token_is_needed(folder: Path) -> None:
    token = "a-secret-of-many-letters"
    with dashboard(results.open(folder), token, local=False) as address:
        for path in ("/", "/api/overview", "/plotly.js", "/static/main.js", "/?token=wrong"):
            assert ask(address, path).status == 401
        for header in (f"Bearer {token}x", "Bearer ", f"Basic {token}", "Bearer \u00e9"):
            given = header.encode().decode("latin-1")
            assert ask(address, "/api/overview", Authorization=given).status == 401
        assert ask(address, "/api/overview", Authorization=f"Bearer {token}").status == 200
        welcome = ask(address, f"/?token={token}")
        assert (welcome.status, welcome.headers["Location"]) == (303, "/")
        cookie = welcome.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        named = cookie.partition(";")[0]
        assert ask(address, "/", Cookie=named).status == 200
        assert ask(address, "/", Host="any.example", Cookie=named).status == 200


def test_a_running_sweep_has_its_progress(tmp_path: Path) -> None:
    ledger = write(tmp_path / "runs", synthetic.FakeLedger(synthetic.seeds(0.1, 1.0, 0.2, 0.3)))
    planned = Planned({"mupc": {"weight_lr": (0.1, 0.2), "activity_lr": (1.0, 2.0)}}, ((32, 8),), 1)
    with dashboard(results.open(tmp_path / "runs")) as address:
        assert overview(address, 2)["experiments"][0]["state"] == "unjudged"
        with ledger.claims(NAME):
            ledger.announcements.write(Announcement(NAME, "tune", 2, 8, 33.0, False, planned))
            found = once(address, state="running", total=8)  # a look between both writes sees one
            assert found["runs"] == 2
            assert found["left"] == 33
            (section,) = api(address, "experiment", name=NAME)["sections"]
            waiting = section["landscapes"][0]["panels"][0]["planned"]
            assert sorted(waiting) == [[0.1, 2.0], [0.2, 1.0], [0.2, 2.0]]
            ledger.append(synthetic.seeds(0.2, 2.0, 0.4))
            overview(address, 3)
            (section,) = api(address, "experiment", name=NAME)["sections"]
            panel = section["landscapes"][0]["panels"][0]
            assert [0.2, 2.0] in [cell["at"] for cell in panel["cells"]]
            assert len(panel["planned"]) == 2
        once(address, state="stopped")


def test_texts_of_a_ledger_are_harmless_and_short(tmp_path: Path) -> None:
    odd = "<script>alert(1)</script>\u202e\x1b[2J" + "x" * 3_000
    rows = synthetic.seeds(0.1, 1.0, "failed", experiment=odd)
    rows[0]["cause"] = odd
    with dashboard(write(tmp_path / "runs", synthetic.FakeLedger(rows))) as address:
        found = overview(address, 1)
        shown = found["experiments"][0]["name"]
        assert "\\u202e\\x1b[2J" in shown
        assert len(shown) < 2_100
        details = api(address, "experiment", name=odd)
        (failure,) = details["sections"][0]["failures"]
        assert failure["cause"].startswith("<script>alert(1)</script>\\u202e")


def test_ledger_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def job(name: str, ledger: str, start: int) -> dict[str, object]:
        metadata = {"mupc_experiment": name, "mupc_ledger": ledger}
        return {
            "submission_id": f"{name}-1", "status": "RUNNING", "metadata": metadata,
            "start_time": start, "message": "",
        }  # fmt: skip

    jobs = (job("old", "s3://bucket/old", 1), job("new", "s3://bucket/new", 2))
    with http_server(job_server(jobs=jobs)) as server:
        assert ledger_of_job(server.address, None) == "s3://bucket/new"
    with http_server(job_server(jobs=(job("here", str(tmp_path), 1),))) as server:
        assert ledger_of_job(server.address, None) == str(tmp_path)
    default = job("default", "", 1) | {"driver_node_id": "ab"}
    seen = JobProgress("tune", 1, 2, 0, 1, 1.0, 1.0, 1.0, None, "", "s3://bucket/default")
    monkeypatch.setattr(JobServer, "progress", lambda *_: seen)
    with http_server(job_server(jobs=(default,))) as server:
        assert ledger_of_job(server.address, None) == "s3://bucket/default"
    monkeypatch.undo()
    for ledger, words in (("", "--ledger"), ("/no/such/folder", "SSH tunnel")):
        with (
            http_server(job_server(jobs=(job("one", ledger, 1),))) as server,
            pytest.raises(CommandError, match=words),
        ):
            ledger_of_job(server.address, None)
    with http_server(job_server()) as server, pytest.raises(CommandError, match="no job"):
        ledger_of_job(server.address, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "port from 0 to 65535, got '70000'"),
        (["--port", "{taken}"], "--port 0 takes a free one"),
        (["--job", "x"], "--job needs --address"),
        (["--ledger", "nowhere"], "there is no ledger at 'nowhere'"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    arguments: list[str],
    words: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = [word.format(taken=port) for word in arguments]
        ledger = [] if "--ledger" in given else ["--ledger", str(folder)]
        done = called(capsys, "dashboard", *ledger, *given)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_plotly_the_command_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jobs.dashboard.server.find_spec", lambda name: None)
    done = called(capsys, "dashboard", "--ledger", str(folder))
    assert done.returncode == 2
    assert "pip install 'mupc[dashboard]'" in done.stderr


def test_a_short_token_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUPC_DASHBOARD_TOKEN", "short")
    done = called(capsys, "dashboard", "--ledger", str(folder), "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "MUPC_DASHBOARD_TOKEN must have at least 16" in done.stderr
    assert "'short'" not in done.stderr


def test_command_serves_until_it_is_interrupted(folder: Path) -> None:
    command = [sys.executable, "-m", "mupc", "dashboard", "--ledger", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].rstrip("/")
        assert address.startswith("http://127.0.0.1:")
        assert len(overview(address, 270)["experiments"]) == 1
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():  # neither JAX nor Ray is loaded, which would take seconds and memory
            assert "jaxlib" not in maps.read_text()
            assert "_raylet" not in maps.read_text()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert errors == ""

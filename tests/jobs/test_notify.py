"""`--notify`: what is posted to a real server, and servers that hang, fail or redirect."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import TINY, called, mupc, write_spec
from formula_pool import FormulaPool
from http_server import Handler, Server, http_server, job_server

import jobs
import results
import transfer
from jobs.callbacks import notify
from jobs.callbacks.notify import Notifier
from jobs.cli.pool_setup import shown_arguments
from jobs.cluster.webhook import Webhook
from jobs.errors import CommandError
from transfer import Experiment

KEY = "S3CR3T"
EXPERIMENT = Experiment.from_dict({**TINY, "variants": ["bp"]})


def accept(handler: Handler, what: str) -> None:
    handler.send_whole(204, {})


def run(folder: Path, url: str, **options: Any) -> list[str]:
    """Run an experiment; return what the notifier announced."""
    said: list[str] = []
    ledger = results.open(folder / "runs", create=True)
    transfer.run(EXPERIMENT, ledger, FormulaPool(**options), progress=Notifier(url, said.append))
    return said


def posted(server: Server) -> list[dict[str, Any]]:
    bodies = [body for _, _, body in server.seen]
    assert all(body.endswith(b"\n") and body.count(b"\n") == 1 for body in bodies)
    return [json.loads(body) for body in bodies]


def test_posts_failures_verdicts_and_the_end(tmp_path: Path) -> None:
    with http_server(accept) as server:
        said = run(tmp_path, f"{server.address}/hook?token={KEY}", failing=3)
        messages = posted(server)
        assert {what for what, _, _ in server.seen} == {f"POST /hook?token={KEY}"}
        assert {heads["Content-Type"] for _, heads, _ in server.seen} == {"application/json"}
    assert said == []
    assert [message["event"] for message in messages] == ["failure", "verdict", "end"]
    failure, verdict, end = messages
    assert {message["experiment"] for message in messages} == {"tiny"}
    assert failure["cause"] == "out of memory at s3://...@bucket/x"
    runs = results.open(tmp_path / "runs").runs()
    assert failure["run_id"] in set(runs["run_id"])
    (row,) = results.open(tmp_path / "runs").verdicts().to_dict("records")
    assert {name: verdict[name] for name in ("verdict", "width", "depth", "loss")} == {
        name: row[name] for name in ("verdict", "width", "depth", "loss")
    }
    assert (end["outcome"], end["runs"], end["done"]) == ("complete", len(runs), len(runs))
    assert end["ended_here"] == {"failed": 3, "trained": len(runs) - 3}
    assert end["verdicts"] == {row["verdict"]: 1}


def test_posts_that_a_job_was_stopped(tmp_path: Path) -> None:
    with http_server(accept) as server:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, server.address, interrupted_after=1)
        (end,) = posted(server)
    assert (end["event"], end["outcome"]) == ("end", "stopped")


def refuse(handler: Handler, what: str) -> None:
    handler.send_whole(500, {}, b"no")


def redirect(handler: Handler, what: str) -> None:
    handler.send_whole(307, {"Location": f"http://192.0.2.1/{KEY}"})


@pytest.mark.parametrize(
    ("answer", "reason"), [(refuse, "it answers with status 500"), (redirect, "redirects to")]
)
def test_errors_of_the_server_are_told_once(
    answer: Callable[[Handler, str], None], reason: str, tmp_path: Path
) -> None:
    with http_server(answer) as server:
        (sentence,) = run(tmp_path, f"{server.address}/{KEY}", failing=1)
        assert len(server.seen) == 3  # it goes on, and follows no redirect
    assert sentence.startswith(f"--notify: {server.address}: ")
    assert reason in sentence
    assert KEY not in sentence


def test_absent_server_is_told_once(tmp_path: Path) -> None:
    with http_server(accept) as server:
        pass
    (sentence,) = run(tmp_path, f"{server.address}/{KEY}")
    assert "no webhook answers at" in sentence
    assert KEY not in sentence


def test_hanging_server_blocks_nothing_but_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "SECONDS", 1.0)
    monkeypatch.setattr(notify, "END_SECONDS", 0.5)

    def hang(handler: Handler, what: str) -> None:
        time.sleep(3600)

    with http_server(hang) as server:
        said = run(tmp_path, f"{server.address}/{KEY}", failing=1)
    assert said[0].startswith(f"--notify: {server.address}: ")
    assert KEY not in said[0]
    assert len(results.open(tmp_path / "runs").verdicts()) == 1


def test_queue_is_bounded_and_counts_what_it_drops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MOST_WAITING", 4)
    notifier = Notifier("http://127.0.0.1:1/x", lambda _: None)
    for depth in range(10):
        notifier.verdict({"verdict": "held", "width": 8, "depth": depth})
    assert notifier._queue.qsize() == 4
    assert notifier._dropped == 6
    notifier._put("end", {}, last=True)
    waiting = [notifier._queue.get_nowait() for _ in range(notifier._queue.qsize())]
    assert waiting[-1] is None
    assert waiting[-2] is not None
    assert waiting[-2]["event"] == "end"


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://host/{KEY}",
        f"host/{KEY}",
        f"https://{KEY}:x@/path",
        f"https://host:{KEY}/",
        f"https://ho st/{KEY}",
        f"https://host/#{KEY}",
        f"https://host/{KEY}\nX: y",
        f"@{KEY}/nowhere",
    ],
)
def test_refuses_what_is_no_url_without_showing_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    done = called(capsys, "run", str(spec), "--notify", url, "--ledger", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--notify" in done.stderr
    assert url.startswith("@") or KEY not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_password_is_sent_as_a_header_and_over_http_only_to_this_machine(tmp_path: Path) -> None:
    with http_server(accept) as server:
        url = server.address.replace("http://", f"http://user:{KEY}%20@")
        run(tmp_path, f"{url}/x")
        headers = [heads for _, heads, _ in server.seen]
    assert {heads["Authorization"] for heads in headers} == {"Basic dXNlcjpTM0NSM1Qg"}
    said = run(tmp_path, f"http://user:{KEY}@192.0.2.1/x")
    assert "http would send its password unencrypted" in said[0]
    assert KEY not in said[0] + repr(Webhook.parse(f"https://user:{KEY}@host/{KEY}"))


def test_command_posts_and_shows_no_url(tmp_path: Path) -> None:
    small = {"width": 8, "depth": 2, "weight_lr": [0.1], "activity_lr": [1], "seeds": 1}
    write_spec(tmp_path, variants=["bp"], tune=small)
    with http_server(accept) as server:
        (tmp_path / "hook").write_text(f"{server.address}/{KEY}\n")
        done = mupc(tmp_path, "run", "spec.yaml", "--notify", "@hook")
        assert done.returncode == 0, done.stderr
        events = [message["event"] for message in posted(server)]
    assert (events[0], events[-1]) == ("verdict", "end")
    assert KEY not in done.stdout + done.stderr


def test_command_to_continue_shows_no_url() -> None:
    words = ["run", "a.yaml", "--notify", f"https://h/{KEY}", f"--notify=https://h/{KEY}"]
    assert shown_arguments(words) == ["run", "a.yaml", "--notify", "...", "--notify=..."]
    assert shown_arguments(["run", "--notify", "@hook"]) == ["run", "--notify", "@hook"]


def test_submission_lists_no_url(tmp_path: Path) -> None:
    """The cluster shows the command and the variables of a job to all of its users."""
    spec = write_spec(tmp_path)
    url = f"https://hooks.example.org/{KEY}"
    with http_server(job_server()) as server:
        jobs.submit(spec, server.address, notify=url)
        request = next(body for what, _, body in server.seen if what == "POST /api/jobs/")
    assert KEY.encode() not in request
    assert "--notify @notify" in json.loads(request)["entrypoint"]
    prepared = jobs.cluster.submit.prepare(spec, notify=url)
    assert prepared.files["notify"].decode() == url
    with pytest.raises(CommandError, match="--notify must be a URL"):
        jobs.cluster.submit.prepare(spec, notify="nowhere")

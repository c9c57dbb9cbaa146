"""Completion by the tab key, in real shells."""

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import mupc

from jobs.cli.names import names_of
from pccore import ACTIVATIONS
from pccore.data import DATASETS
from transfer.spec.families import FAMILIES
from transfer.spec.variants import VARIANTS

ROOT = Path(__file__).parents[2]
SHELLS = {
    "bash": ["bash", "--noprofile", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i"],
}
MOST_SECONDS = 60


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty home folder, who has `mupc` on PATH."""
    program = tmp_path / "bin" / "mupc"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from mupc.__main__ import main\nmain()\n"
    )
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    unwanted = {"PYTHONPATH", "MUPC_LEDGER"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {"HOME": str(tmp_path), "PATH": path, "TERM": "xterm", "ZDOTDIR": str(tmp_path)}


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_command_in_a_terminal(
    shell: str, user: dict[str, str], tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    done = mupc(tmp_path, "completion", shell, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"mupc is completed in {shell} terminals" in done.stdout
    again = mupc(tmp_path, "completion", HOME=str(tmp_path), SHELL=f"/bin/{shell}")
    assert again.stdout == done.stdout
    answer = tmp_path / "answer"
    typed_in(
        SHELLS[shell], f"mupc doct\t --help > {answer} && echo > {answer}.done\r", user, answer
    )
    assert answer.read_text().startswith("Usage: mupc doctor [OPTIONS]")


def typed_in(command: list[str], keys: str, environment: dict[str, str], answer: Path) -> None:
    """Type into a shell that has a terminal, and wait until the file answer.done is there.

    The keys before the tab and after it are typed apart, as completion takes its time.
    """
    # A process of its own forks, because this one has threads.
    terminal = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *command]
    pipe = subprocess.PIPE
    end = time.monotonic() + MOST_SECONDS
    with subprocess.Popen(terminal, env=environment, stdin=pipe, stdout=pipe, bufsize=0) as process:
        assert process.stdin is not None
        try:
            shown = quiet(process, "", end)
            before, _, after = keys.partition("\t")
            process.stdin.write(f"{before}\t".encode())
            shown += quiet(process, "doctor", end)
            process.stdin.write(after.encode())
            while not Path(f"{answer}.done").exists():
                assert time.monotonic() < end, shown
                time.sleep(0.1)
        finally:
            process.kill()


def quiet(process: "subprocess.Popen[bytes]", wanted: str, end: float) -> str:
    """Return what a terminal shows, once it shows a text and then nothing for half a second."""
    shown = ""
    while time.monotonic() < end:
        ready, _, _ = select.select([process.stdout], [], [], 0.5)
        if ready and process.stdout is not None:
            shown += process.stdout.read(65536).decode(errors="replace")
        elif shown and wanted in shown:
            return shown
    raise AssertionError(f"{wanted!r} is not among {shown!r}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["new", "--data", "di"], ["digits"]),
        (["new", "--variants", "mupc,sp"], ["mupc,sp", "mupc,sp_gaussian"]),
        (["new", "--network", ""], list(FAMILIES)),
        (["results", "--table", "m"], ["measurements"]),
        (["run", "--chec"], ["--checkpoint-minutes"]),
        (["completion", ""], None),
    ],
)
def test_bash_is_offered_names(
    words: list[str], expected: list[str] | None, user: dict[str, str], tmp_path: Path
) -> None:
    assert offered(words, user) == (["bash", "zsh", "fish"] if expected is None else expected)


def offered(words: list[str], environment: dict[str, str]) -> list[str]:
    """Return the completions of the last word, as the script for bash asks for them."""
    asking = {"COMP_WORDS": "\n".join(["mupc", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        ["mupc"],
        env=environment | asking | {"_MUPC_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_names_are_those_of_the_registries() -> None:
    """The schema that is shipped has them, so that completion loads no JAX."""
    assert names_of("data set") == list(DATASETS)
    assert names_of("variant") == list(VARIANTS)
    assert names_of("family of networks") == list(FAMILIES)
    assert names_of("activation") == list(ACTIVATIONS)
    assert names_of("no such kind") == []


def test_completion_loads_nothing_heavy(user: dict[str, str]) -> None:
    script = (
        "import sys\nfrom jobs.cli.main import main\nsys.argv = ['mupc']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('jax', 'ray', 'pandas', 'numpy', 'rich') if name in sys.modules])"
    )
    asking = {"COMP_WORDS": "mupc\nnew\n--data\n", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=user | asking | {"_MUPC_COMPLETE": "complete_bash", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_unknown_shell_is_one_sentence(tmp_path: Path) -> None:
    done = mupc(tmp_path, "completion", SHELL="/bin/tcsh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name the shell, such as `mupc completion bash`" in done.stderr
    assert not list(tmp_path.iterdir())

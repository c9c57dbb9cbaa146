"""`mupc completion`: completion of commands, options and names in bash, zsh and fish."""

import os
from pathlib import Path

from typer.completion import get_completion_script, install

from jobs.cli.entry import VARIABLE
from jobs.cli.json_output import print_json
from jobs.cli.options import Shell
from jobs.cli.terminal import say
from jobs.errors import CommandError

NAME = "mupc"

COMPLETE_NOW = '[[ $zsh_eval_context[-1] == loadautofunc ]] && _mupc_completion "$@"'
"""What Typer's script for zsh lacks: the first press of the key only loads the function."""


def install_completion(shell: Shell | None, *, only_print: bool, as_json: bool) -> None:
    """Install the completion of a shell, by default the user's, or print its script.

    Raises:
        CommandError: the user's shell is none of these.
    """
    shell = shell or _users_shell()
    if only_print:
        script = get_completion_script(prog_name=NAME, complete_var=VARIABLE, shell=shell.value)
        if as_json:
            print_json("completion", {"shell": shell.value, "script": script})
        else:
            print(script)
        return
    _, path = install(shell=shell.value, prog_name=NAME, complete_var=VARIABLE)
    if shell is Shell.ZSH:
        path.write_text(f"{path.read_text()}\n\n{COMPLETE_NOW}\n")
    if as_json:
        print_json("completion", {"shell": shell.value, "path": str(path)})
        return
    say(
        f"wrote {path}: mupc is completed in {shell.value} terminals that you open from now on; "
        f"in this one after: exec {shell.value}"
    )


def _users_shell() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in list(Shell):
        raise CommandError(
            f"name the shell, such as `mupc completion bash`: the variable SHELL says {name!r}, "
            f"and {', '.join(Shell)} are possible"
        )
    return Shell(name)

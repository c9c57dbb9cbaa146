"""The file of a spec that a command is given."""

from difflib import get_close_matches
from pathlib import Path

from jobs.errors import CommandError


def check_spec(path: Path) -> None:
    """Check that a spec is there.

    Raises:
        CommandError: it is not; with the name of one that is, or what writes one.
    """
    if path.exists():
        return
    others = [each.name for each in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    near = get_close_matches(path.name, others, n=1)
    if near:
        advice = f"did you mean {str(path.with_name(near[0]))!r}?"
    elif path.parts[:1] == ("examples",):
        advice = "`mupc init --examples` copies the examples"
    else:
        advice = f"`mupc new {path}` writes one"
    raise CommandError(f"there is no file {path}: {advice}")

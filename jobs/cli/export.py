"""`mupc export`: the weights of a trained network in a file of its own."""

from collections.abc import Mapping
from pathlib import Path

import results
from jobs.cli.json_output import print_json
from jobs.cli.terminal import say
from jobs.errors import CommandError
from results.storage.exported import SUFFIXES, export


def export_network(run_id: str, ledger: str, to: str, *, as_json: bool) -> None:
    """Write the kept weights of a run, and print where.

    Args:
        run_id: the run's id, which may be shortened.
        ledger: folder or URI of the ledger.
        to: "safetensors" or "npz" for a file named after the run, the name of such a file, or a
            folder that is created.
        as_json: whether to print JSON.

    Raises:
        CommandError: there is something at the place.
        LedgerError: the weights were not kept, or cannot be read.
    """
    kept = results.open(ledger).kept(run_id)
    about = kept.description
    named_after_run = f".{to}" in SUFFIXES
    place = Path(f"{about['run_id']}.{to}" if named_after_run else to)
    try:
        export(kept, place)
    except FileExistsError:
        raise CommandError(f"--to: {place} exists already: choose another name") from None
    if as_json:
        shapes = {name: list(array.shape) for name, array in kept.arrays.items()}
        print_json("export", {**about, "path": str(place), "arrays": shapes})
        return
    numbers = sum(array.size for array in kept.arrays.values())
    say(
        f"{place}: {len(kept.arrays)} arrays with {numbers} numbers of run {about['run_id']}"
        f"{_origin(about)}"
    )


def _origin(about: Mapping[str, object]) -> str:
    """Return what a network was trained on; nothing if its description does not say."""
    from pccore.data import DATASETS
    from pccore.data.exchange import origin

    data = about.get("data")
    if not isinstance(data, dict):
        return ""
    try:
        if "feature_mean" in data:
            standard = "(x - feature_mean) / feature_std"
            return f", {about['variant']} on {data['name']}; inputs are {standard} (docs/data.md)"
        raw = "x" if origin(data["name"])[0] in DATASETS else "data.stored(x)"
        scaled = f"({raw} - {data['mean']:g}) / {data['std']:g}"
        inputs = raw if (data["mean"], data["std"]) == (0, 1) else scaled
    except (LookupError, TypeError, ValueError):
        return ""
    meaning = "" if raw == "x" else " (docs/data.md)"
    return f", {about['variant']} on {data['name']}; inputs are {inputs}{meaning}"

"""`mupc export FORM`: the runs of a ledger for another tool."""

import threading
import time
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import results
from jobs.bridges import FORMS, Bridge, Form
from jobs.bridges.places import only_writer
from jobs.bridges.source import Source, check_experiments
from jobs.cli.json_output import print_json
from jobs.cli.options import ExportOptions
from jobs.cli.stopping import SignalHandler
from jobs.cli.terminal import say
from jobs.errors import CommandError

if TYPE_CHECKING:
    from results import Ledger

POLL_SECONDS = 2.0
"""Shortest interval between two looks for new runs."""

LOOKING_SHARE = 0.1
"""The largest share of the time that these looks take."""


_RUN_LETTERS = set("0123456789abcdef")


def export_ledger(options: ExportOptions) -> int:
    """Export a run's weights or a ledger; returns the exit status.

    Raises:
        CommandError: the form is unknown, or its options contradict each other.
    """
    form = FORMS.get(options.what)
    if form is None:
        _export_run(options)
        return 0
    if options.follow and form.bridge is None:
        following = ", ".join(name for name, each in FORMS.items() if each.bridge)
        raise CommandError(f"--follow needs one of {following}, not {options.what}")
    if options.describes and options.what != "huggingface":
        raise CommandError(f"--title, --author and --license need huggingface, not {options.what}")
    place = Path(options.to or form.place)
    if "://" in str(options.to):
        raise CommandError(f"--to must be a path on this machine, not {options.to!r}")
    ledger = results.open(options.ledger)
    check_experiments(ledger, options.experiments)
    source = Source(ledger, options.experiments)
    with only_writer(place):
        if form.bridge is None:
            rows = _write_whole(options, ledger, place)
            _report(options, form, place, rows)
            return 0
        if options.force and place.is_file():
            place.unlink()
        bridge = form.bridge(place)
        _report(options, form, place, {"runs": bridge.update(source)})
        return _follow(bridge, source, place) if options.follow else 0


def _export_run(options: ExportOptions) -> None:
    from jobs.cli.export import export_network

    near = get_close_matches(options.what, FORMS, n=1)
    if near or not _RUN_LETTERS.issuperset(options.what):
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise CommandError(
            f"{options.what!r} is neither the id of a run nor one of {', '.join(FORMS)}{hint}"
        )
    unused = {
        "--experiment": options.experiments,
        "--follow": options.follow,
        "--force": options.force,
        "--title, --author and --license": options.describes,
    }
    for name, given in unused.items():
        if given:
            raise CommandError(f"{name} needs one of {', '.join(FORMS)}, not the id of a run")
    export_network(
        options.what, options.ledger, options.to or "safetensors", as_json=options.as_json
    )


def _write_whole(options: ExportOptions, ledger: "Ledger", place: Path) -> Mapping[str, int]:
    if options.what == "csv":
        from results.publishing.tables import write_csv

        return write_csv(ledger, place, options.experiments, force=options.force)
    from results.publishing.facts import About
    from results.publishing.huggingface import write_dataset

    about = About(options.title, options.authors, options.license)
    return write_dataset(ledger, place, options.experiments, about, force=options.force)


def _report(options: ExportOptions, form: Form, place: Path, rows: Mapping[str, int]) -> None:
    if options.as_json:
        facts = {"form": options.what, "path": str(place), "written": rows}
        print_json("export", facts)
        return
    written = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    new = " new" if form.bridge is not None else ""
    say(f"{place}: {written}{new}; to open it: {form.opened.replace('PLACE', str(place))}")


def _follow(bridge: Bridge, source: Source, place: Path) -> int:
    """Write new runs as they finish, until a signal; returns the exit status."""
    handler = SignalHandler()
    handler.install()
    waiting = threading.Event()
    took = 0.0
    try:
        while True:
            waiting.wait(max(POLL_SECONDS, took / LOOKING_SHARE))
            begun = time.monotonic()
            new = bridge.update(source)
            took = time.monotonic() - begun
            if new:
                say(f"{place}: {new:,} runs new")
    except KeyboardInterrupt:
        return handler.exit_status

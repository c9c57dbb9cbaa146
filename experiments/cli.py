"""The commands of `python -m experiments`: list, run and score the recipes."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rich.text import Text

import results
from experiments import (
    RECIPES,
    Evidence,
    Line,
    Recipe,
    as_markdown,
    perform,
    scorecard,
    scorecard_page,
)
from experiments.cost import blocking, cost, missing
from experiments.readings import Verdict
from experiments.recipe import Setting
from experiments.scale import Scale
from experiments.scorecard import counts
from jobs.cli.exit_status import ExitStatus
from jobs.cli.json_output import print_json
from jobs.cli.options import PoolKind
from jobs.cli.pool_setup import check_folder, check_pool, working_pool
from jobs.cli.progress import display
from jobs.cli.statistics import RunStatistics
from jobs.cli.tables import plain_table, screen
from jobs.cli.warning import or_warning
from jobs.errors import CommandError
from jobs.pools.settings import CHECKPOINT_MINUTES, layout_policy
from pccore import Status
from results.durations import duration

if TYPE_CHECKING:
    from rich.table import Table


class ScaleFacts(TypedDict):
    """The setting and the estimated cost of a recipe at one scale, as listed."""

    setting: str
    runs: int
    seconds: float
    gpu_hours: float
    missing: list[str]


class RecipeFacts(TypedDict):
    """A recipe as listed."""

    name: str
    title: str
    source: str
    claims: list[str]
    small: ScaleFacts
    full: ScaleFacts


@dataclass(frozen=True)
class RecipeOptions:
    """Options of the command `run`.

    Attributes:
        names: names of the recipes; all if empty.
        scale: the size at which they run.
        ledger: folder or URI.
        out: folder of the figures.
        pool: where runs are trained.
        workers: number of groups trained in parallel; None for all cores.
        address: address of a Ray cluster to join; None for a local one.
        data_dir: folder of data sets; None for the default place.
        as_json: print the scorecard as JSON.
        checkpoint_minutes: time between two checkpoints of a group.
    """

    names: list[str]
    scale: Scale
    ledger: str
    out: Path
    pool: PoolKind
    workers: int | None
    address: str | None
    data_dir: Path | None
    as_json: bool
    checkpoint_minutes: float = CHECKPOINT_MINUTES


def list_recipes(data_dir: Path | None, *, as_json: bool) -> None:
    """Print the source, the setting and the estimated time of every recipe."""
    rows = [_facts(recipe, data_dir) for recipe in RECIPES.values()]
    if as_json:
        print_json("list", {"recipes": rows})
        return
    table = plain_table(("recipe", "shows", "source", "small, here", "full, one GPU"), ("shows",))
    for column in table.columns:
        column.justify = "left"
    for row in rows:
        small, full = row["small"], row["full"]
        lacking = f", needs {', '.join(small['missing'])}" if small["missing"] else ""
        table.add_row(
            row["name"],
            row["title"],
            row["source"],
            f"{duration(small['seconds'])}{lacking}",
            f"{full['gpu_hours']:.2g} h",
        )
    screen().print(table)
    command = "python -m experiments"
    print(f"\n{command} run NAME... runs recipes; {command} scorecard judges them")


def run_recipes(options: RecipeOptions) -> int:
    """Run or continue recipes, draw figures and print the claims; returns the exit status."""
    check_pool(options)
    check_folder("--out", options.out)
    layout_policy()
    chosen = [RECIPES[name] for name in options.names] or list(RECIPES.values())
    settings = {recipe.name: recipe.at(options.scale) for recipe in chosen}
    absent = {name: blocking(setting, options.data_dir) for name, setting in settings.items()}
    _refuse_missing(options, absent)
    ledger = results.open(options.ledger, create=True)
    ledger.ensure_writable()
    safe = f"finished runs are stored in {options.ledger}"
    done = failed = 0
    with working_pool(options, ledger, lambda: safe, _program()) as pool:
        for recipe in chosen:
            if absent[recipe.name]:
                print(
                    f"{recipe.name}: not run, needs {', '.join(absent[recipe.name])}",
                    file=sys.stderr,
                )
                continue
            if not options.as_json:
                lacking = missing(settings[recipe.name], options.data_dir)
                without = f" (without {', '.join(lacking)})" if lacking else ""
                print(f"\n{recipe.name}: {settings[recipe.name].text}{without}", flush=True)
            statistics = RunStatistics()
            with display(statistics, screen(stderr=True)):
                evidence = perform(
                    recipe,
                    options.scale,
                    ledger,
                    pool,
                    progress=statistics,
                    data_dir=options.data_dir,
                )
            done, failed = done + statistics.done, failed + statistics.ended[Status.FAILED]
            or_warning(
                f"there are no figures of {recipe.name}",
                partial(draw, recipe, evidence, options.out / options.scale),
            )
            if not options.as_json:
                _print(scorecard([recipe], options.scale, ledger, options.data_dir))
        or_warning("the files of the ledger are not merged", ledger.compact)
    if options.as_json:
        card = scorecard(chosen, options.scale, ledger, options.data_dir)
        print_json("run", {"claims": [line.as_dict() for line in card]})
    else:
        print(f"\nfigures: {options.out / options.scale}\nledger: {options.ledger}")
    return ExitStatus.RUNS_FAILED if 0 < done == failed else ExitStatus.SUCCESS


def show_scorecard(
    address: str,
    scale: Scale,
    out: Path | None,
    page: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Judge every claim on the rows of a ledger and print the scorecard.

    Args:
        address: folder or URI of the ledger.
        scale: whose runs are judged.
        out: file for the tables of this ledger.
        page: file for the whole page, with former measurements of the recipes that it lacks.
        data_dir: folder of data sets.
        as_json: print JSON.

    Raises:
        CommandError: a page is asked for at a scale that it does not have.
    """
    if out is not None:
        check_folder("--out", out.parent)
    if page is not None:
        check_folder("--page", page.parent)
        if scale is not Scale.SMALL:
            raise CommandError(f"--page is of the scale {Scale.SMALL}, got --scale {scale}")
    ledger, recipes = results.open(address), list(RECIPES.values())
    card = scorecard(recipes, scale, ledger, data_dir)
    if out is not None:
        out.write_text(as_markdown(card) + "\n")
    if page is not None:
        found = scorecard_page.dates(recipes, card, scale, ledger, data_dir)
        record = scorecard_page.updated(scorecard_page.load(), card, found)
        scorecard_page.dump(record)
        page.write_text(scorecard_page.page(recipes, record), encoding="utf-8")
    if as_json:
        print_json("scorecard", {"claims": [line.as_dict() for line in card]})
        return
    _print(card)
    ours = [line for line in card if not line.of_documents]
    print(f"\n{counts([line for line in card if line.of_documents])}")
    if ours:
        print(f"beyond the documents, {counts(ours)}")


def draw(recipe: Recipe, evidence: Evidence, folder: Path) -> list[Path]:
    """Draw the figures of a recipe into `folder`; returns the files."""
    from results.figures import style

    paths = []
    for name, figure in recipe.figures.items():
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / f"{name}.png")
        paths[-1].write_bytes(style.png(figure(evidence)))
    return paths


def _program() -> tuple[str, ...]:
    """Return how the user started this process, up to the arguments in `sys.argv`."""
    through_mupc = sys.argv[1:2] == ["reproduce"]
    return ("mupc",) if through_mupc else ("python", "-m", "experiments")


def _refuse_missing(options: RecipeOptions, absent: dict[str, list[str]]) -> None:
    """Check that the data sets of recipes given by name are available.

    Raises:
        CommandError: a recipe has none of its data sets. Without names, such recipes are skipped.
    """
    for name, datasets in absent.items():
        if datasets and options.names:
            raise CommandError(
                f"recipe {name!r} needs the data set {datasets[0]}: give its folder with "
                f"--data-dir or MUPC_DATA, or fetch it with mupc datasets --fetch {datasets[0]}"
            )


def _facts(recipe: Recipe, data_dir: Path | None) -> RecipeFacts:
    return {
        "name": recipe.name,
        "title": recipe.title,
        "source": recipe.source,
        "claims": [claim.text for claim in recipe.claims],
        "small": _scale_facts(recipe.small, data_dir),
        "full": _scale_facts(recipe.full, data_dir),
    }


def _scale_facts(setting: Setting, data_dir: Path | None) -> ScaleFacts:
    from jobs.pools.machine import usable_cpus

    price = cost(setting, data_dir)
    return {
        "setting": setting.text,
        "runs": price.runs,
        "seconds": round(price.core_seconds / usable_cpus(), 1),
        "gpu_hours": price.gpu_hours,
        "missing": missing(setting, data_dir),
    }


def _print(card: Sequence[Line]) -> None:
    screen().print(card_table(card))


def card_table(card: Sequence[Line]) -> "Table":
    """Return a table of the claims for the terminal."""
    names = ("recipe", "claim", "target", "measured", "verdict", "s")
    table = plain_table(names, text=names[:-1])
    styles: dict[str, str] = {Verdict.REPRODUCED: "green", Verdict.CONTRADICTED: "red"}
    for line in card:
        table.add_row(
            line.recipe,
            f"{line.claim} ({line.source})",
            f"{line.target}; {line.tolerance}",
            line.measured,
            Text(line.verdict, styles.get(line.verdict, "yellow")),
            "" if line.seconds is None else f"{line.seconds:.0f}",
        )
    return table

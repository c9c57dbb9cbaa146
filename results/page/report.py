"""The report: a self-contained HTML page and its figures as PNG files, from a ledger."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from results.errors import because
from results.storage.permissions import may_replace, try_folder
from results.vocabulary import COLLAPSED, RATES, SHALLOW, ZERO_SHOT, VerdictLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2
    import pandas as pd
    from matplotlib.figure import Figure

    from results.figures.panels import Panel
    from results.ledger import Ledger
    from results.page.conclusion import Step
    from results.page.run_tables import Table
    from results.page.sections import Section
    from results.page.verdict_table import VerdictGroup
    from results.page.wording import Headline

CSS_PIXELS_PER_INCH = 100
PAGE = "index.html"

MEANINGS: dict[str, str] = {
    VerdictLabel.HELD: "with a probability of at least 95 % the loss at the transferred rates is "
    "within the tolerance of the best found at the target",
    VerdictLabel.DRIFTED: "with that probability it is not, or most of its seeds did not train",
    VerdictLabel.EDGE: "it did not drift, but an optimum lies on the edge of the searched grid, so "
    "that a better one may lie beyond",
    VerdictLabel.INCONCLUSIVE: "the runs do not decide",
    VerdictLabel.UNTRAINED: "no cell trained at the target",
    SHALLOW: "fewer than half of the layers learned",
    COLLAPSED: "the test accuracy is more than 15 points below that of the tuned shape",
}
"""What the labels of verdicts mean."""


class ReportError(ValueError):
    """The report cannot be written to its folder."""


@dataclass(frozen=True)
class Image:
    """A figure of the page.

    Attributes:
        name: file name.
        png: content of the file.
        svg: the same for the page, which follows the reader's colour scheme.
        width: width on the page, in CSS pixels.
        alt: alternative text.
        caption: how to read the figure.
    """

    name: str
    png: bytes
    svg: bytes
    width: int
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        return f"data:image/svg+xml;base64,{b64encode(self.svg).decode('ascii')}"


@dataclass(frozen=True)
class View:
    """The content of a section for the template."""

    anchor: str
    section: Section
    conclusion: str
    steps: list[Step]
    headlines: list[Headline]
    verdicts: list[VerdictGroup]
    verdict_columns: list[str]
    older: Table | None
    landscapes: list[Image]
    laws: Image | None
    scaling: Image | None
    training: Image | None
    depth: Image | None
    moved: Table
    counts: Table
    pruning: Table | None
    failures: Table | None
    settings: Table


def report(ledger: Ledger, out_dir: str | Path, experiment: str | None = None) -> Path:
    """Write `index.html` and its PNG files to `out_dir`; return the path of the page.

    Everything is drawn before anything is written, and files are written atomically, the page last:
    a failure leaves the previous report as it was. The page loads nothing from elsewhere.

    Args:
        ledger: an open ledger, `results.open(path)`.
        out_dir: a local folder, created if missing; other files in it are left alone.
        experiment: name of the experiment; None for all, one section each.

    Raises:
        LedgerError: the ledger has no such experiment, or no runs and no verdicts.
        ReportError: `out_dir` cannot be written to.
    """
    from results.page.sections import collect

    out = Path(out_dir)
    ensure_writable(out)  # before drawing, which takes seconds
    sections = collect(ledger, experiment)
    views = [_view(*pair) for pair in zip(sections, _anchors(sections), strict=True)]
    html = _render(views).encode("utf-8")
    images = {image.name: image.png for view in views for image in _images(view)}
    _publish(out, images, html)
    return out / PAGE


def _view(section: Section, anchor: str) -> View:
    from results.figures.cells import records
    from results.page import run_tables, verdict_table, wording
    from results.page.conclusion import conclusion, next_steps

    verdicts = records(section.verdicts)
    return View(
        anchor=anchor,
        section=section,
        conclusion=conclusion(verdicts),
        steps=next_steps(verdicts),
        headlines=wording.headlines(section),
        verdicts=verdict_table.verdict_groups(section),
        verdict_columns=verdict_table.verdict_columns(section.rates),
        older=run_tables.older_table(section),
        landscapes=_landscapes(section, anchor),
        laws=_laws(section, anchor),
        scaling=_scaling(section, anchor),
        training=_training(section, anchor),
        depth=_depth(section, anchor),
        moved=run_tables.moved_table(section),
        counts=run_tables.counts_table(section.runs),
        pruning=run_tables.pruning_table(section),
        failures=run_tables.failures_table(section.runs),
        settings=run_tables.settings_table(section),
    )


def _landscapes(section: Section, anchor: str) -> list[Image]:
    from results.figures import heatmap, profile
    from results.figures.panels import panels
    from results.figures.style import label
    from results.page.wording import landscape_alt

    images = []
    for i, variant in enumerate(section.variants):
        drawn = panels(section.runs, section.verdicts, variant)
        if not drawn:  # a verdict without runs
            continue
        slug = _slug(variant) or f"variant-{i + 1}"
        name = f"{anchor}-landscape-{i + 1}-{slug}"
        mine = section.runs[section.runs["variant"].eq(variant)]
        if section.rates != RATES:
            images += _landscapes_of(section.rates, variant, drawn, mine, name)
            continue
        if any(panel.cells["activity_lr"].notna().any() for panel in drawn):
            figure, caption = heatmap.draw(drawn), COLOURS
        else:
            figure = profile.draw(drawn, mine)
            caption = (
                f"Without an activity learning rate, the loss is drawn against η alone. {BANDS}"
            )
        images.append(
            _image(
                f"{name}.png",
                figure,
                landscape_alt(variant, drawn),
                f"{label(variant)}: loss by learning rate and shape. {caption}",
            )
        )
    return images


COLOURS = (
    "Colour is the final training loss, on one scale for all panels. A pattern over a colour marks "
    "a cell where only some seeds trained."
)
BANDS = "A pattern behind points marks a rate where only some seeds trained."


def _landscapes_of(
    rates: Sequence[str], variant: str, drawn: list[Panel], runs: pd.DataFrame, name: str
) -> list[Image]:
    """Return the figures over the rates of a training function: a curve, a map, or a map a pair.

    Of three rates or more, each map is the slice through the best cell of each shape; where that
    has too few cells, as by samplers, it shows all cells from above.
    """
    from results.figures import heatmap, profile
    from results.figures.slices import pairs, sliced
    from results.figures.style import label
    from results.page.wording import landscape_alt
    from results.vocabulary import rate_symbol

    if len(rates) == 1:
        alt = landscape_alt(variant, drawn)
        caption = f"{label(variant)}: loss by {rate_symbol(rates[0])} and shape. {BANDS}"
        return [_image(f"{name}.png", profile.draw(drawn, runs, rates[0]), alt, caption)]
    images = []
    for pair in pairs(rates):
        shown, how = sliced(drawn, pair)
        over = " and ".join(rate_symbol(rate) for rate in pair)
        text = f"{label(variant)}: loss by {over} and shape. {how}{COLOURS}"
        ending = "" if len(rates) == 2 else f"-{'-'.join(pair)}"
        alt = landscape_alt(variant, shown)
        images.append(_image(f"{name}{ending}.png", heatmap.draw(shown, pair), alt, text))
    return images


def _laws(section: Section, anchor: str) -> Image | None:
    from results.figures import law
    from results.page.wording import law_alt

    if section.rules in ([], [ZERO_SHOT]) or section.tuned is None:
        return None
    rows = law.panels(section.runs, section.verdicts, section.measured, section.tuned)
    if not rows:
        return None
    caption = (
        "Where a law was fitted, an optimum is the lowest point of a smooth surface through the "
        "cells; bars and band are 95 % intervals. Straight lines are power laws of N and of "
        "L = H + 1. Diamonds are predicted cells, which ran with their neighbours. A star on the "
        "outermost cell may not have reached the optimum."
    )
    return _image(f"{anchor}-laws.png", law.draw(rows), law_alt(rows), caption)


def _scaling(section: Section, anchor: str) -> Image | None:
    from results.figures import scaling
    from results.figures.cells import lowest, shapes
    from results.page.wording import scaling_alt

    moved, tuned = section.moved, section.tuned
    if tuned is None or len(shapes(moved)) < 2:
        return None
    along = scaling.sweeps(moved, tuned)
    best = lowest(section.runs)
    figure = scaling.draw(moved, best, along, scaling.chance_level(section.runs))
    alt = scaling_alt(moved)
    caption = (
        "Means over the seeds that trained, with bars of one standard deviation. A star is the "
        "lowest loss of another cell at that shape: its distance from the line is the regret."
    )
    return _image(f"{anchor}-scaling.png", figure, alt, caption)


def _training(section: Section, anchor: str) -> Image | None:
    from results.figures import training
    from results.page.wording import training_alt

    if section.curves.empty:
        return None
    figure = training.draw(section.curves, section.moved)
    caption = (
        "Means over the seeds that trained, with bands of their range. Thin lines are single seeds "
        "that stayed at chance or, if they end in a cross, diverged."
    )
    return _image(f"{anchor}-training.png", figure, training_alt(section.moved), caption)


def _depth(section: Section, anchor: str) -> Image | None:
    from results.figures import depth
    from results.page.wording import depth_alt

    if section.layers.empty:
        return None
    figure = depth.draw(section.layers, section.moved)
    caption = (
        "RMS change of every weight matrix during training over its initial RMS: the median over "
        "seeds at the transferred cell. Layers on the lower edge kept their initial weights."
    )
    return _image(f"{anchor}-depth.png", figure, depth_alt(section.moved), caption)


def _image(name: str, figure: Figure, alt: str, caption: str) -> Image:
    from results.figures.style import png
    from results.figures.themed import svg

    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    return Image(name, png(figure), svg(figure), width, alt, caption)


def _images(view: View) -> list[Image]:
    others = (view.laws, view.scaling, view.depth, view.training)
    return view.landscapes + [image for image in others if image is not None]


@cache
def _template() -> jinja2.Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("results", "templates"),
        autoescape=True,  # names in a ledger may contain markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _render(views: list[View]) -> str:
    from results.page.verdict_table import BADGES

    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    html = _template().render(views=views, created=created, badges=BADGES, meanings=MEANINGS)
    return html.lstrip()


def _anchors(sections: list[Section]) -> list[str]:
    """Return a distinct name per section, for links and file names."""
    names: list[str] = []
    for section in sections:
        base = _slug(section.experiment) or "experiment"
        taken = sum(name == base or name.startswith(f"{base}.") for name in names)
        names.append(f"{base}.{taken + 1}" if taken else base)
    return names


def _slug(text: str) -> str:
    """Return `text` in letters, digits and hyphens, at most 60 characters, for file names."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")


def ensure_writable(out: Path) -> None:
    """Check that a report can be written to a folder, before work whose result it shows.

    Raises:
        ReportError: a parent is a file, the folder cannot be made or written to, or it holds the
            report of another user and has the sticky bit.
    """
    for place in (out, *out.parents):
        if place.exists():
            if not place.is_dir():
                raise _refusal(out, f"{place} is a file")
            break
    try:
        try_folder(out)
    except OSError as error:
        raise _refusal(out, because(error)) from error
    if not may_replace(out / PAGE):
        raise _refusal(out, "the report there is another user's")


def _refusal(out: Path, reason: str) -> ReportError:
    return ReportError(f"cannot write the report into {str(out)!r}: {reason}")


def _publish(out: Path, images: dict[str, bytes], html: bytes) -> None:
    """Write all files under hidden names, then rename them: figures first, the page last.

    Names that nobody can foresee and files that must be new: a link in their place is not followed.
    """
    files = {**images, PAGE: html}
    hidden = {name: out / f".{name}.{uuid4().hex[:8]}.part" for name in files}
    made = [place for place in (out, *out.parents) if not place.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            hidden[name].touch(exist_ok=False)
            hidden[name].write_bytes(content)
        for name in files:
            hidden[name].replace(out / name)
    except OSError as error:
        _withdraw(list(hidden.values()), made)
        raise _refusal(out, because(error)) from error


def _withdraw(parts: list[Path], folders: list[Path]) -> None:
    """Remove the partial files of a failed `_publish`, and the folders it created if empty."""
    from contextlib import suppress

    for part in parts:
        with suppress(OSError):
            part.unlink()
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()

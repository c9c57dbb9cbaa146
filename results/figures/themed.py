"""Figures as SVG that follow the reader's colour scheme: light or dark.

Matplotlib draws for white paper. Of the colours of lines and texts, those that a dark page would
swallow get a lighter one there; the tiles of a landscape keep theirs, which stand for numbers.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from results.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DARK_PAPER = "#16191d"
DARK = {  # what stands for a colour on dark paper, where its hue says nothing
    style.INK: "#e8eaed",
    style.FAINT: "#a9b1ba",
    style.REGION_EDGE: "#8f98a2",
    style.REGIONS["diverged"][0]: "#343a41",
    style.REGIONS["at_chance"][0]: "#2b2f2a",
    "#c8c8c8": "#59636e",
}
KEPT = frozenset({"#ffffff", "#000000"})
CONTRAST = 3.5
"""The least contrast of lines and marks with dark paper; 3 is what WCAG asks of graphics."""
NUMBERS = ("QuadMesh", "PathCollection")
"""Matplotlib's groups of shapes whose colours stand for numbers."""

_SVG = "http://www.w3.org/2000/svg"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG on transparent paper, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.set_layout_engine("none")  # as it was arranged for the PNG
    with style.styled({"svg.hashsalt": "mupc"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=_no_metadata(), transparent=True)
    for prefix, uri in (("", _SVG), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.fromstring(buffer.getvalue())
    for pattern in root.iter(f"{{{_SVG}}}pattern"):
        _simplify(pattern)
    colours: set[str] = set()
    _theme(root, colours)
    sheet = ElementTree.Element(f"{{{_SVG}}}style")
    sheet.text = _rules(sorted(colours))
    root.insert(0, sheet)
    return ElementTree.tostring(root, encoding="utf-8")


def on_dark(colour: str) -> str:
    """Return a colour that stands out from dark paper, lightened no more than needed."""
    if colour in DARK:
        return DARK[colour]
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    for share in range(0, 100, 4):
        lighter = [round(value + (255 - value) * share / 100) for value in channels]
        mixed = "#" + "".join(f"{value:02x}" for value in lighter)
        if contrast(mixed, DARK_PAPER) >= CONTRAST:
            return mixed
    return "#ffffff"


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _no_metadata() -> dict[str, None]:
    return dict.fromkeys(("Date", "Creator", "Format", "Type"))


def _theme(element: ElementTree.Element, colours: set[str]) -> None:
    """Replace colours by variables, and collect them."""
    if element.get("id", "").startswith(NUMBERS):
        for child in list(element):
            if "fill-opacity: 0" in child.get("style", "") or "fill: none" in child.get(
                "style", ""
            ):
                element.remove(child)  # a cell without a loss, whose white edges would show
        return
    for name in ("style", "fill", "stroke"):
        if value := element.get(name):
            element.set(name, _COLOUR.sub(lambda found: _variable(found[0], colours), value))
    for child in element:
        _theme(child, colours)


def _variable(found: str, colours: set[str]) -> str:
    colour = found.lower()
    if colour in KEPT:
        return colour
    colours.add(colour)
    return f"var(--{colour[1:]})"


def _rules(colours: list[str]) -> str:
    light = "".join(f"--{colour[1:]}:{colour};" for colour in colours)
    dark = "".join(f"--{colour[1:]}:{on_dark(colour)};" for colour in colours)
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _simplify(pattern: ElementTree.Element) -> None:
    """Draw a hatch by one line or dot: Matplotlib's patterns take half a megabyte each."""
    rect = pattern.find(f"{{{_SVG}}}rect")
    path = pattern.find(f"{{{_SVG}}}path")
    face = _COLOUR.search("" if rect is None else f"{rect.get('style')} {rect.get('fill')}")
    dots = path is not None and "C" in path.get("d", "")
    for child in list(pattern):
        pattern.remove(child)
    pattern.attrib |= {"x": "0", "y": "0", "width": "5", "height": "5"}
    ground = {"width": "6", "height": "6", "fill": face[0] if face else "none"}
    ElementTree.SubElement(pattern, f"{{{_SVG}}}rect", ground)
    if dots:
        dot = {"cx": "2.5", "cy": "2.5", "r": "0.8", "fill": style.REGION_EDGE}
        ElementTree.SubElement(pattern, f"{{{_SVG}}}circle", dot)
    else:
        pattern.set("patternTransform", "rotate(45)")
        line = {"d": "M0 0V6", "stroke": style.REGION_EDGE, "stroke-width": "1"}
        ElementTree.SubElement(pattern, f"{{{_SVG}}}path", line)

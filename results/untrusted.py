"""Text from outside, made safe to show on a terminal, in a message and in a spreadsheet."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Categories of Unicode that control a terminal, change the order of text, or show nothing."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters with which a cell is a formula for a spreadsheet."""


def printable(text: object, keep: str = "") -> str:
    """Return `text` with everything but visible characters escaped, as Python writes it: "\\x1b".

    Args:
        text: any object, by its `str`.
        keep: characters that stay as they are, such as line breaks.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(
        letter
        if letter in keep or unicodedata.category(letter) not in _HIDDEN
        else _escaped(letter)
        for letter in plain
    )


def spreadsheet_cell(text: str) -> str:
    """Return `text` as a cell of CSV that no spreadsheet takes for a formula: with "'" in front.

    What controls a terminal is escaped, except for tabs and line breaks.
    """
    shown = printable(text, keep="\t\n")
    return f"'{shown}" if text.startswith(_FORMULA) else shown


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")

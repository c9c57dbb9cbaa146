"""Durations in words, as the terminal, the log and the report write them."""

_UNITS = {"h": 3600, "min": 60, "s": 1}


def duration(seconds: float | None) -> str:
    """Return seconds as "42 s", "3 min 20 s" or "2 h 05 min"; "?" for None."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def parse_duration(text: str) -> float | None:
    """Return the seconds that `duration` wrote as `text`, to the precision it kept."""
    words = text.split()
    if text == "?":
        return None
    return sum(float(n) * _UNITS[unit] for n, unit in zip(words[::2], words[1::2], strict=True))

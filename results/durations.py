"""Durations in words, as the terminal, the log and the report write them."""


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

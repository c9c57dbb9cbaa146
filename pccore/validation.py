"""Checks that frozen configurations make where they are built."""


def require_at_least(config: object, least: int, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is at least `least`."""
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")

"""Checks for the constructors of frozen configurations."""


def require_at_least(config: object, least: int, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is at least `least`."""
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def require_decay_rates(config: object, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is in [0, 1)."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def require_positive(config: object, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is above 0."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")

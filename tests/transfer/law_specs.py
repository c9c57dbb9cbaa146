"""Small valid specs with transfer rules."""

from typing import Any

from transfer_fakes import spec

ETAS = [round(10 ** (-k / 4), 6) for k in range(13)]
FITTED = {"rule": "fitted", "depths": [3, 7, 15]}
EQUILIBRIUM = {"training": {"inference": "equilibrium"}}


def law_spec(*rules: Any, tune: Any = None, transfer: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a spec that tunes at H = 7 (L = 8) and transfers to H = 31 (L = 32)."""
    values = spec(
        tune={"depth": 7, "weight_lr": ETAS, "activity_lr": None, **(tune or {})},
        transfer={"depths": [31], "rules": list(rules), **(transfer or {})},
        **(EQUILIBRIUM | changes),
    )
    values["tune"] = {key: value for key, value in values["tune"].items() if value is not None}
    return values

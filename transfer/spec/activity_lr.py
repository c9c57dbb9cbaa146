"""Activity learning rates in a spec: a list, a range, or the rule that sets them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from pccore import SpectralActivityLr
from transfer.space import Grid, Range
from transfer.spec.fields import (
    LARGEST_COUNT,
    ListOf,
    RangeForm,
    Rate,
    Ratio,
    ReadAs,
    Section,
    json_type,
    rates,
    rates_as_yaml,
)

ActivityLr = Grid | Range | SpectralActivityLr
"""The activity learning rates to search, or the rule that sets them."""


class SpectralForm(Section):
    """beta = c B / lambda_max, from the spectrum of each network's own activity Hessian."""

    model_config = ConfigDict(title="mapping")

    spectral: Ratio = Field(
        description="c, which beta lambda_max / B is at every measurement. The steps of gradient "
        "descent are bounded below 2, those of Nesterov and the augmented Lagrangian below 4/3."
    )
    remeasure: Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)] = Field(
        default=SpectralActivityLr.remeasure,
        description="Weight updates between measurements; 0 measures the untrained network only.",
    )


def spectral_as_yaml(chosen: SpectralActivityLr) -> dict[str, float]:
    """Return the mapping that a spec has for `chosen`."""
    return {"spectral": chosen.scale, "remeasure": chosen.remeasure}


def _kind(value: object) -> str | None:
    """Return the tag of the alternative that `value` chooses."""
    spectral = isinstance(value, Mapping) and SpectralForm.model_fields.keys() & value.keys()
    return "mapping" if spectral else json_type(value)


def _read(form: tuple[float, ...] | RangeForm | SpectralForm | str) -> ActivityLr:
    if isinstance(form, str):
        return SpectralActivityLr()
    if isinstance(form, SpectralForm):
        return SpectralActivityLr(form.spectral, form.remeasure)
    return rates(form)


def _as_yaml(chosen: ActivityLr) -> object:
    if isinstance(chosen, SpectralActivityLr):
        return spectral_as_yaml(chosen)
    return rates_as_yaml(chosen)


ActivityRates = Annotated[
    ActivityLr,
    ReadAs(
        Annotated[
            Annotated[ListOf[Rate], Tag("array")]
            | Annotated[RangeForm, Tag("object")]
            | Annotated[Literal["spectral"], Tag("string")]
            | Annotated[SpectralForm, Tag("mapping")],
            Discriminator(_kind),
        ],
        _read,
        _as_yaml,
        (Grid, Range, SpectralActivityLr),
    ),
]
"""A list of activity learning rates, a range, or the rule that sets them from the spectrum."""

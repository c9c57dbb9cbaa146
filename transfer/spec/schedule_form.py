"""Schedules of the learning rate in a spec."""

from typing import Annotated

from pydantic import ConfigDict, Field

from pccore import Schedule
from pccore.schedules import DECAYS
from transfer.spec.fields import LARGEST_COUNT, NameIn, ReadAs, Section
from transfer.spec.options import set_options


class ScheduleForm(Section):
    """Factors of the learning rate: warm-up, then decay."""

    model_config = ConfigDict(title="mapping")

    warmup: Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)] = Field(
        default=Schedule.warmup, description="Weight updates in which the rate rises to eta."
    )
    decay: Annotated[str, NameIn(DECAYS)] = Field(
        default=Schedule.decay, description="Shape of the fall until the end of training."
    )
    final: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(
        default=Schedule.final, description="Factor of eta at the end of training."
    )


def _read(form: ScheduleForm) -> Schedule:
    return Schedule(form.warmup, form.decay, form.final)


Schedules = Annotated[Schedule, ReadAs(ScheduleForm, _read, set_options, (Schedule,))] | None
"""A schedule, or None."""

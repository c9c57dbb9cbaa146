"""Inference in a spec: a scheme, whose steps may depend on the depth."""

from dataclasses import dataclass
from typing import Annotated

import pccore
from pccore import InferenceScheme
from pccore.inference.activity_optimiser import OPTAX
from pccore.inference.gradient_flow import SOLVERS
from transfer.spec.fields import NameIn, ReadAs, Section, StepsOrDepth, StepsPerLayer
from transfer.spec.options import Options

SCHEMES = Options(
    pccore.INFERENCE,
    key="scheme",
    base=InferenceScheme,
    types={
        "steps": StepsOrDepth,
        "optimiser": Annotated[str, NameIn(OPTAX)],
        "solver": Annotated[str, NameIn(SOLVERS)],
    },
    default={"scheme": "gradient_descent", "steps": "depth"},
)


@dataclass(frozen=True)
class InferenceSpec:
    """A scheme with its options; by default gradient descent with T = H steps (thesis C.4).

    Attributes:
        scheme: a name in `pccore.INFERENCE`, or of a class of the user's.
        options: all of its options, with their names. `steps`, where the scheme has it, may be
            "depth", T = H, or `StepsPerLayer`, T = c H; both are resolved for every shape.
    """

    scheme: str = "gradient_descent"
    options: tuple[tuple[str, object], ...] = (("steps", "depth"),)

    @property
    def uses_activity_lr(self) -> bool:
        """True if the scheme has a beta to search."""
        return pccore.INFERENCE[self.scheme].uses_activity_lr

    @property
    def uses_start(self) -> bool:
        """True if the result depends on where inference begins."""
        return pccore.INFERENCE[self.scheme].uses_start

    def build(self, depth: int) -> InferenceScheme:
        """Return the scheme for networks of `depth` hidden layers."""
        options = dict(self.options)
        steps = options.get("steps")
        if steps == "depth":
            options["steps"] = depth
        elif isinstance(steps, StepsPerLayer):
            options["steps"] = steps.steps(depth)
        return pccore.INFERENCE[self.scheme](**options)


def _read(form: Section) -> InferenceSpec:
    scheme, options = SCHEMES.read(form)
    spec = InferenceSpec(scheme, tuple(options.items()))
    spec.build(depth=1)  # the scheme may refuse what the types of its options allow
    return spec


def _as_yaml(spec: InferenceSpec | InferenceScheme) -> dict[str, object]:
    if isinstance(spec, InferenceScheme):
        return SCHEMES.write(spec)
    options = {
        name: value.model_dump() if isinstance(value, Section) else value
        for name, value in spec.options
    }
    return {"scheme": spec.scheme, **options}


Inference = Annotated[
    InferenceSpec, ReadAs(SCHEMES.form, _read, _as_yaml, (InferenceSpec, InferenceScheme))
]

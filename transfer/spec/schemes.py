"""How activities are inferred, as a spec says it: a scheme, whose steps may depend on the depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pccore
from pccore import InferenceScheme
from transfer.spec.fields import inference_steps
from transfer.spec.options import named


@dataclass(frozen=True)
class InferenceSpec:
    """A scheme with its options; by default gradient descent with T = H steps (thesis C.4).

    Attributes:
        scheme: a name in `pccore.INFERENCE`.
        options: all of its options, with their names. `steps`, where the scheme has it, may be
            "depth": T = H, resolved for every shape.
    """

    scheme: str = "gradient_descent"
    options: tuple[tuple[str, Any], ...] = (("steps", "depth"),)

    @property
    def uses_activity_lr(self) -> bool:
        """Whether there is a beta to search."""
        return pccore.INFERENCE[self.scheme].uses_activity_lr

    @property
    def uses_start(self) -> bool:
        """Whether the result depends on where inference begins."""
        return getattr(pccore.INFERENCE[self.scheme], "uses_start", True)

    def build(self, depth: int) -> InferenceScheme:
        """The scheme for networks of `depth` hidden layers."""
        options = dict(self.options)
        if options.get("steps") == "depth":
            options["steps"] = depth
        return pccore.INFERENCE[self.scheme](**options)


def inference(value: object) -> InferenceSpec:
    """The name of a scheme, or a mapping {scheme: ..., option: ...}; also an `InferenceSpec`."""
    default = inference_as_yaml(InferenceSpec())
    if isinstance(value, InferenceSpec):
        value = inference_as_yaml(value)
    if isinstance(value, str):
        value = {"scheme": value}
    if isinstance(value, Mapping) and value.get("scheme", default["scheme"]) == default["scheme"]:
        value = {**default, **value}
    readers = {"steps": inference_steps}
    scheme, options = named(pccore.INFERENCE, value, key="scheme", special=readers)
    spec = InferenceSpec(scheme, tuple(options.items()))
    spec.build(depth=1)  # what the types of its options allow, the scheme may refuse
    return spec


def inference_as_yaml(spec: InferenceSpec) -> dict[str, Any]:
    """What `inference` reads back as `spec`."""
    return {"scheme": spec.scheme, **dict(spec.options)}

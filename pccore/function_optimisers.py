"""Optimisers that functions of the learning rate make: Optax's by name, and those of users."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields, make_dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from pccore.optimisers import ADAPTIVE, PROPORTIONAL, SGD, Adam, Optimiser, Weights
from pccore.registry import Registry, kind_of, subclass_of
from pccore.relaxation import Scalar
from pccore.source_digest import called, code_of
from pccore.validation import DecayRate

Function = Callable[..., optax.GradientTransformation]
"""A function like Optax's optimisers: of the learning rate and of options."""


class FunctionOptimiser(Optimiser):
    """An optimiser made by a function of the learning rate.

    `of_function` makes a subclass for every function, with a field for each option.
    """

    name: ClassVar[str]
    function: ClassVar[Function]

    def __reduce__(self) -> tuple[object, ...]:
        options = {each.name: getattr(self, each.name) for each in fields(self)}
        return _restored, (self.name, self.function, type(self).like, options)

    def transformation(self) -> optax.GradientTransformation:
        """Return the transformation at a learning rate of 1."""
        return optax.chain(self._at(1.0), optax.scale(-1.0))

    def init(self, weights: Weights) -> optax.OptState:
        return self._at(1.0).init(weights)

    def update(
        self, gradients: Weights, state: optax.OptState, weights: Weights, weight_lr: Scalar
    ) -> tuple[Weights, optax.OptState]:
        updates, state = self._at(weight_lr).update(gradients, state, weights)
        return jax.tree.map(jnp.negative, updates), state

    def _at(self, weight_lr: Scalar) -> optax.GradientTransformation:
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _COMMON}
        return type(self).function(learning_rate=weight_lr, **options)


_COMMON = (*(each.name for each in fields(Optimiser)), "like")

# Only optimisers that treat every weight by itself: in a network all hidden layers are one array,
# so that the norms of layers which LAMB, LARS, NovoGrad, Fromage and Adafactor use would be wrong.
ADAPTIVE_OF_OPTAX = (
    *("adabelief", "adadelta", "adagrad", "adamax", "adamaxw", "adamw", "adan", "amsgrad", "lion"),
    *("nadam", "nadamw", "radam", "rmsprop", "sign_sgd", "signum", "yogi"),
)
"""Names in Optax of optimisers whose steps do not grow with the gradients, as those of Adam."""

PROPORTIONAL_OF_OPTAX = ("optimistic_gradient_descent",)
"""Names in Optax of optimisers whose steps are in proportion to the gradients, as those of SGD."""

_DECAY_RATES = ("b1", "b2", "b3", "decay", "rho")
_DESCRIPTIONS = {
    "alpha": "weight of the newest gradient.",
    "b1": "decay rate of the mean of the gradients.",
    "b2": "decay rate of the mean of their squares; adan: of their differences; lion: of the "
    "momentum.",
    "b3": "decay rate of the mean of squares.",
    "beta": "weight of the change of the gradient; signum: decay rate of the mean.",
    "bias_correction": "whether to correct the means for their start at zero.",
    "bias_correction_mu": "whether to correct the mean for its start at zero.",
    "bias_correction_nu": "whether to correct the mean of squares for its start at zero.",
    "centered": "whether to divide by the standard deviation rather than the RMS.",
    "decay": "decay rate of the mean of squares.",
    "eps": "term added to the denominator.",
    "eps_in_sqrt": "whether to add eps inside the root.",
    "eps_root": "term added inside the root of the denominator.",
    "initial_accumulator_value": "sum of squares before the first step.",
    "initial_scale": "mean of squares before the first step.",
    "nesterov": "whether to use Nesterov momentum.",
    "rho": "decay rate of the means of squares.",
    "threshold": "length of the average from which variances are used.",
    "weight_decay": "decoupled weight decay, in units of the learning rate.",
}


def _parameters(function: Function) -> Iterator[tuple[str, object, object]]:
    """Yield the options of a function of the learning rate: name, type and default.

    Those of Optax that are neither numbers nor truth values, such as masks, keep their defaults.

    Raises:
        ValueError: it is no such function.
    """
    parameters = dict(inspect.signature(function).parameters)
    if "learning_rate" not in parameters:
        raise ValueError(
            "must take the argument learning_rate, which mupc searches, and return an Optax "
            f"transformation, as optax.adam does; it takes {', '.join(parameters) or 'nothing'}"
        )
    del parameters["learning_rate"]
    for name, parameter in parameters.items():
        default = parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        known = parameter.annotation in (bool, int, float, str)
        kind = parameter.annotation if known else type(default)
        if kind in (bool, int, float, str):
            yield name, kind, (... if default is parameter.empty else default)
        elif default is parameter.empty:
            raise ValueError(f"has the option {name} without a type: write {name}: float")


_made: dict[str, type[FunctionOptimiser]] = {}


def of_function(
    name: str, function: Function, likeness: str | None = None
) -> type[FunctionOptimiser]:
    """Return the class of the optimisers that a function makes, whose fields are its options.

    Args:
        name: of the function; a name with a digest is that of a user's, and its class has the
            further option `like`.
        function: of `learning_rate` and options, as `optax.adamw` is.
        likeness: the attribute `like`.

    Raises:
        ValueError: it is no such function.
    """
    if name in _made:
        return _made[name]
    word, own, _ = name.partition("@")
    entries: list[tuple[str, object, object]] = []
    described: dict[str, str] = {}
    if own:
        alike = field(default=None, kw_only=True)
        entries.append(("like", Literal[ADAPTIVE, PROPORTIONAL] | None, alike))
        described["like"] = "the one of Adam and SGD whose steps are alike, for the rule depth_mup."
    for option, kind, default in _parameters(function):
        kind = DecayRate if option in _DECAY_RATES and not own else kind
        entries.append((option, kind, field() if default is ... else field(default=default)))
        described[option] = _described(word, option, ours=not own)
    listed = "".join(f"    {option}: {text}\n" for option, text in described.items())
    namespace = {
        "name": name,
        "function": staticmethod(function),
        "__doc__": f"The optimiser {word}{'' if own else ' of Optax'}.\n\nAttributes:\n{listed}",
        "__module__": __name__,
        **({} if own else {"like": likeness}),
    }
    class_name = "".join(part.title() for part in word.split("_"))
    _made[name] = make_dataclass(
        class_name, entries, bases=(FunctionOptimiser,), namespace=namespace, frozen=True
    )
    return _made[name]


def _described(word: str, option: str, *, ours: bool) -> str:
    if ours and option in _DESCRIPTIONS:
        return _DESCRIPTIONS[option]
    return f"option of {'optax.' if ours else ''}{word}."


def _restored(
    name: str, function: Function, likeness: str | None, options: Mapping[str, Any]
) -> FunctionOptimiser:
    return of_function(name, function, likeness)(**options)


def adopt(thing: object) -> type[Optimiser]:
    """Return the class of optimisers that a user's class or function is. Raises `ValueError`."""
    if isinstance(thing, type):
        made: type[Optimiser] = subclass_of(Optimiser)(thing)
        return made
    if not inspect.isfunction(thing):
        raise ValueError(
            "must be a function of learning_rate that returns an Optax transformation, or a "
            f"subclass of pccore.Optimiser, {kind_of(thing)}"
        )
    return of_function(f"{called(thing)}@{code_of(thing).digest}", thing)


_OPTAX = {
    **dict.fromkeys(ADAPTIVE_OF_OPTAX, ADAPTIVE),
    **dict.fromkeys(PROPORTIONAL_OF_OPTAX, PROPORTIONAL),
}

OPTIMISERS: Registry[type[Optimiser]] = Registry(
    "optimiser",
    {
        "adam": Adam,
        "sgd": SGD,
        **{name: of_function(name, getattr(optax, name), kind) for name, kind in _OPTAX.items()},
    },
    adopt,
)
"""Optimisers of the weights by name: `adam` and `sgd` as classes, the others from Optax."""

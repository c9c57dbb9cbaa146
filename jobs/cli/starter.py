"""The text of a first spec: every key that matters, with a comment that says what it does."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

from transfer.spec.families import FAMILIES

COMMENT_AT = 35
MOST_BATCH = 64
LABEL = 64


@dataclass(frozen=True)
class Starter:
    """What a first spec is made of.

    Attributes:
        name: name of the experiment.
        dataset: the name of a data set, or the section of a file.
        task: "classification" or "regression".
        train_size: training samples.
        family: name of the family of networks.
        activation: name of the activation function.
        variants: names of the variants.
        width: width of the tuned networks.
        depth: their hidden layers.
        depths: hidden layers at the targets.
        steps: weight updates.
        seeds: number of seeds.
        schema: file of the JSON Schema beside the spec, for editors.
        lagrangian: whether inference is the augmented Lagrangian, else gradient descent.
        residual: whether there are skip connections.
        ruled: whether Depth-muP's rule is compared with zero-shot transfer.
    """

    name: str
    dataset: str | Mapping[str, object]
    task: str
    train_size: int
    family: str
    activation: str
    variants: Sequence[str]
    width: int
    depth: int
    depths: Sequence[int]
    steps: int
    seeds: int
    schema: str | None
    lagrangian: bool = True
    residual: bool = True
    ruled: bool = True


def write(starter: Starter) -> str:
    """Return the text of the spec."""
    head = [f"# yaml-language-server: $schema={starter.schema}"] if starter.schema else []
    head += [
        "# A learning rate is tuned on a small network, rerun on large ones, and judged there.",
        "# `mupc plan` estimates the time, `mupc run` runs it, `mupc schema` describes every key.",
    ]
    lines = [
        *_top(starter),
        *_section("network", "what the networks share", _network(starter)),
        *_training(starter),
        *_section("tune", "the search on the small network", _tune(starter)),
        *_section("transfer", "where the best rates are rerun and judged", _transfer(starter)),
    ]
    return "\n".join([*head, *(_commented(*line) for line in lines)]) + "\n"


Line = tuple[str, str]
"""A key with its value, and a comment."""


def _top(starter: Starter) -> list[Line]:
    variants = "to compare with backpropagation: [mupc, bp]"
    return [
        (f"name: {_scalar(starter.name)}", "its name in the ledger"),
        (f"dataset: {_flow(starter.dataset)}", _about(starter)),
        (f"variants: {_flow(list(starter.variants))}", variants),
    ]


def _about(starter: Starter) -> str:
    if isinstance(starter.dataset, str):
        return f"{starter.task}; `mupc datasets` lists others"
    return f"{starter.task}, {starter.train_size:,} training samples; more keys: docs/data.md"


def _network(starter: Starter) -> list[Line]:
    skip = "skip connections between hidden layers"
    return [
        (f"family: {_family(starter.family)}", f"one of {', '.join(FAMILIES)}"),
        (f"activation: {_scalar(starter.activation)}", "or tanh, gelu, ...; a list tunes for each"),
        (f"residual: {_scalar(starter.residual)}", skip),
    ]


def _training(starter: Starter) -> list[Line]:
    batch = min(starter.train_size, MOST_BATCH)
    epoch = starter.train_size // batch
    if starter.lagrangian:
        inference = "{scheme: augmented_lagrangian, steps: {depth: 2}}"
        comment = "2 steps per layer train every layer of deep networks"
    else:
        inference = "{scheme: gradient_descent, steps: depth}"
        comment = "as many steps as layers; trains the upper layers of deep networks"
    lines = [
        (f"batch_size: {batch}", ""),
        (f"steps: {starter.steps}", f"weight updates; {epoch:,} make an epoch"),
        ("optimiser: adam", "or sgd, adamw, ..."),
        (f"inference: {inference}", comment),
    ]
    return _section("training", "of every network", lines)


def _tune(starter: Starter) -> list[Line]:
    rates = "[0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002]"
    if starter.lagrangian:
        activity = ("activity_lr: spectral", "beta, set by each network's curvature")
    else:
        activity = ("activity_lr: [100, 10, 1, 0.1]", "beta, those of inference")
    return [
        (f"width: {starter.width}", "units of a hidden layer, or channels"),
        (f"depth: {starter.depth}", "hidden layers"),
        (f"weight_lr: {rates}", "eta, the weight learning rates that are tried"),
        activity,
        (f"seeds: {starter.seeds}", "networks per learning rate"),
    ]


def _transfer(starter: Starter) -> list[Line]:
    if starter.ruled:
        rules = ("rules: [zero_shot, depth_mup]", "eta as it is; eta scaled by depth^-1/2")
    else:
        rules = ("rules: zero_shot", "eta as it is")
    return [
        (f"depths: {_flow(list(starter.depths))}", "hidden layers; or widths, or targets"),
        rules,
        ("neighbourhood: 1", "rates next to the best are rerun too, so that it can lose"),
        ("tolerance: 0.1", "held: at most 10 % above the best loss found at the target"),
    ]


def _section(name: str, comment: str, lines: Sequence[Line]) -> list[Line]:
    return [(f"{name}:", comment), *map(_in, lines)]


def _in(line: Line) -> Line:
    return f"  {line[0]}", line[1]


def _commented(text: str, comment: str) -> str:
    """Return a line with its comment behind it, or above if the line is long."""
    if not comment:
        return text
    if len(text) < COMMENT_AT:
        return f"{text.ljust(COMMENT_AT)}# {comment}"
    indentation = text[: len(text) - len(text.lstrip())]
    return f"{indentation}# {comment}\n{text}"


def _family(name: str) -> str:
    """Return a family with the options that it has, at their defaults."""
    kind = FAMILIES[name]
    options: dict[str, object] = {}
    if is_dataclass(kind):
        options = {
            each.name: each.default
            for each in fields(kind)
            if isinstance(each.default, bool | int | float | str)
        }
    return _flow({"name": name, **options}) if options else name


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value)


def _scalar(value: object) -> str:
    """Return a scalar, in quotes unless it is a plain word: "3" and "no" are texts then."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in _CONSTANTS
    return value if plain else json.dumps(value, ensure_ascii=False)


_CONSTANTS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")


def label(text: str) -> str:
    """Return a name for an experiment that is like a text."""
    found = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:LABEL]
    return found or "experiment"

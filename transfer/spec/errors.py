"""What is wrong with an experiment: one sentence per problem, with its key and value."""

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

LONGEST_VALUE = 60


class SpecError(ValueError):
    """An experiment that cannot be run: one sentence per problem, one per line.

    Attributes:
        sentences: the problems.
    """

    def __init__(self, sentences: str | Iterable[str]) -> None:
        self.sentences = (sentences,) if isinstance(sentences, str) else tuple(sentences)
        super().__init__("\n".join(self.sentences))


class RejectedError(ValueError):
    """A value that its key does not allow.

    Args:
        rule: the end of a sentence that starts with the key: "must be ...".
        value: the value refused; left out of the sentence when not given.
        where: where inside the key's value, such as "[2]" or ".low".
    """

    def __init__(self, rule: str, *value: object, where: str = "") -> None:
        self.where = where
        self.text = f"{rule}, got {shown(value[0])}" if value else rule
        super().__init__(f"{where} {self.text}".strip())


def shown(value: object) -> str:
    """`value` as a sentence quotes it, cut to a readable length."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = "an integer of thousands of digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def unknown_key(key: object, allowed: Iterable[str], path: str = "") -> str:
    """What to say of a key that nothing reads, with the nearest that something does."""
    names = list(allowed)
    near = get_close_matches(str(key), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown key {path or shown(key)}: choose from {', '.join(names)}{hint}"


def spec_error(error: ValidationError, model: type[BaseModel]) -> SpecError:
    """Pydantic's findings about `model`, a sentence each."""
    return SpecError(
        sentence for details in error.errors() for sentence in _sentences(details, model)
    )


def _sentences(details: ErrorDetails, model: type[BaseModel]) -> tuple[str, ...]:
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, SpecError):
        return cause.sentences
    return (_sentence(details, cause, model),)


def _sentence(details: ErrorDetails, cause: object, model: type[BaseModel]) -> str:
    loc = details["loc"]
    path = _dotted(loc)
    if details["type"] == "extra_forbidden":
        return unknown_key(loc[-1], _model_at(loc[:-1], model).model_fields, path)
    if details["type"] == "missing":
        field = _model_at(loc[:-1], model).model_fields[str(loc[-1])]
        return f"{path} is missing: give {field.description}"
    if isinstance(cause, RejectedError):
        return f"{path}{cause.where} {cause.text}"
    if isinstance(cause, ValueError):
        return f"{path}: {cause}"
    return f"{path or 'a spec'} must be a mapping of keys to values, got {shown(details['input'])}"


def _dotted(loc: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(parts).removeprefix(".")


def _model_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> type[BaseModel]:
    """The model that holds the value at `loc`: fields hold a model, or a tuple of them."""
    for part in loc:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            candidates = (annotation, *_arguments(annotation))
            model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return model


def _arguments(annotation: object) -> Iterable[object]:
    """The types inside an annotation such as `tuple[Shape, ...] | None`."""
    for argument in getattr(annotation, "__args__", ()):
        yield argument
        yield from _arguments(argument)

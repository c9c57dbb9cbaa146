"""The rules by which the rates of a training function go from the tuned shape to a target.

Each rate has a rule of its own, or all are fitted together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from pccore.optimisers import ADAPTIVE, PROPORTIONAL
from results.shapes import Shape
from results.vocabulary import DEPTH_MUP, EXPONENTS, FITTED, SIZES, ZERO_SHOT
from transfer.judge.law import Exponents, Law, Prescribed
from transfer.space import Space
from transfer.spec.errors import RejectedError, nearest, spec_error
from transfer.spec.fields import Depth, ListOf, Section, Width
from transfer.spec.transfer_rules import DepthMuP, FittedExponents, TransferRule, Tuned

LARGEST_EXPONENT = 10.0
NAMES = (ZERO_SHOT, DEPTH_MUP, EXPONENTS, FITTED)
OF_ONE_RATE = (ZERO_SHOT, DEPTH_MUP)
LEARNING_RATES = ("lr", "learning_rate", "eta", "step_size")
"""What the name of a learning rate is, or ends in, after an underscore."""

STAYS = Exponents()


@dataclass(frozen=True)
class ByRate:
    """A law for each rate: prescribed powers of L and N.

    Attributes:
        powers: the exponents of the rates; others stay as they are.
    """

    powers: tuple[tuple[str, Exponents], ...] = ()

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Return no shape: the rule needs only the tuned one."""
        return ()

    def law(self, tuned: Tuned) -> Law:
        """Return the law through the tuned optimum."""
        powers = dict.fromkeys(tuned.cell, STAYS) | dict(self.powers)
        return Prescribed(tuned.origin, tuned.cell, powers)

    def refusals(self, settings: object, targets: Sequence[Shape]) -> Iterator[str]:
        """Yield nothing: what cannot be is refused where the rule is read."""
        yield from ()


@dataclass(frozen=True)
class NamedRule:
    """A transfer rule with the name that verdicts have, and its place in the spec."""

    name: str
    rule: TransferRule
    given: object


class FittedForm(Section):
    """The shapes, besides the tuned one, that a fitted rule searches."""

    depths: ListOf[Depth] | None = None
    widths: ListOf[Width] | None = None


def read_rules(given: object, space: Space) -> tuple[NamedRule, ...]:
    """Return the rules that a spec gives: one, or a list of different ones.

    Raises:
        RejectedError: a rule is none, or is given twice.
    """
    several = given if isinstance(given, list | tuple) else [given]
    if not several:
        raise RejectedError("must have at least one rule", given)
    found: list[NamedRule] = []
    for place, each in enumerate(several):
        where = f"[{place}]" if isinstance(given, list | tuple) else ""
        read = _read(each, space, where)
        if read.name in [other.name for other in found]:
            raise RejectedError("must not be given twice", each, where)
        found.append(read)
    return tuple(found)


def _read(given: object, space: Space, where: str) -> NamedRule:
    rates = tuple(space.searched)
    if isinstance(given, str):
        return _named({"rule": given}, rates, where, given)
    if not isinstance(given, Mapping):
        raise RejectedError(
            f"must be one of {', '.join(NAMES)}, or a mapping with a rule for each rate",
            given,
            where,
        )
    if "rule" in given:
        return _named(given, rates, where, given)
    _refuse_unknown(given, rates, where, "rate")
    powers = {name: _of_one(each, f"{where}.{name}") for name, each in given.items()}
    moved = [f"{name}: {text}" for name, (text, _) in powers.items() if text != ZERO_SHOT]
    name = ", ".join(moved) or ZERO_SHOT
    pairs = tuple((rate, exponents) for rate, (_, exponents) in powers.items())
    return NamedRule(name, ByRate(pairs), given)


def _named(
    options: Mapping[object, object], rates: Sequence[str], where: str, given: object
) -> NamedRule:
    name = options["rule"]
    if name not in NAMES:
        near = nearest(name, NAMES)
        raise RejectedError(f"must be one of {', '.join(NAMES)}{near}", name, where)
    rest = {key: value for key, value in options.items() if key != "rule"}
    if name == FITTED:
        return NamedRule(FITTED, _fitted(rest, where), given)
    if name == EXPONENTS:
        _refuse_unknown(rest, rates, where, "rate")
        if not rest:
            raise RejectedError("must give {depth, width} for a rate", given, where)
        powers = tuple(
            (str(rate), _exponents(each, f"{where}.{rate}")) for rate, each in rest.items()
        )
        return NamedRule(EXPONENTS, ByRate(powers), given)
    if name == ZERO_SHOT:
        _refuse_unknown(rest, (), where, "option")
        return NamedRule(ZERO_SHOT, ByRate(), given)
    _refuse_unknown(rest, ("like",), where, "option")
    powers = tuple((rate, _depth_mup(rest, where)) for rate in _learning_rates(rates, where))
    return NamedRule(DEPTH_MUP, ByRate(powers), given)


def _of_one(given: object, where: str) -> tuple[str, Exponents]:
    """Return the rule of one rate in words, and its exponents."""
    if isinstance(given, Mapping) and "rule" not in given:
        exponents = _exponents(given, where)
        parts = [
            f"{size} {getattr(exponents, size):g}" for size in SIZES if getattr(exponents, size)
        ]
        return " ".join(["exponents", *parts]) if parts else ZERO_SHOT, exponents
    options = given if isinstance(given, Mapping) else {"rule": given}
    name = options["rule"]
    if name not in OF_ONE_RATE:
        near = nearest(name, OF_ONE_RATE)
        allowed = f"{', '.join(OF_ONE_RATE)} or {{depth: ..., width: ...}}"
        raise RejectedError(f"must be {allowed}{near}", name, where)
    rest = {key: value for key, value in options.items() if key != "rule"}
    if name == ZERO_SHOT:
        _refuse_unknown(rest, (), where, "option")
        return ZERO_SHOT, STAYS
    _refuse_unknown(rest, ("like",), where, "option")
    like = "" if rest.get("like") in (None, ADAPTIVE) else f" like {rest['like']}"
    return f"{DEPTH_MUP}{like}", _depth_mup(rest, where)


def _depth_mup(options: Mapping[object, object], where: str) -> Exponents:
    like = options.get("like", ADAPTIVE)
    if like not in DepthMuP.powers:
        allowed = f"{ADAPTIVE} or {PROPORTIONAL}"
        raise RejectedError(f"must be {allowed}", like, f"{where}.like")
    return DepthMuP.powers[cast(str, like)]


def _learning_rates(rates: Sequence[str], where: str) -> list[str]:
    """Return the rates that depth_mup is about, if no rate is named."""
    found = [rate for rate in rates if any(f"_{rate}".endswith(f"_{n}") for n in LEARNING_RATES)]
    if found or len(rates) == 1:
        return found or list(rates)
    raise RejectedError(
        f"must say which of the rates {', '.join(rates)} it is for, such as "
        f"{{{rates[0]}: depth_mup}}",
        DEPTH_MUP,
        where,
    )


def _exponents(given: object, where: str) -> Exponents:
    if not isinstance(given, Mapping):
        raise RejectedError("must be a mapping {depth: ..., width: ...}", given, where)
    _refuse_unknown(given, SIZES, where, "size")
    for size, power in given.items():
        number = isinstance(power, int | float) and not isinstance(power, bool)
        if not number or not abs(cast(float, power)) <= LARGEST_EXPONENT:
            rule = f"must be a number from -{LARGEST_EXPONENT:g} to {LARGEST_EXPONENT:g}"
            raise RejectedError(rule, power, f"{where}.{size}")
    return Exponents(**{str(size): float(cast(float, power)) for size, power in given.items()})


def _fitted(options: Mapping[object, object], where: str) -> FittedExponents:
    try:
        form = FittedForm.model_validate(options)
    except ValidationError as error:
        sentence = spec_error(error, FittedForm).sentences[0]
        raise RejectedError(f"is not fitted: {sentence}", dict(options), where) from None
    return FittedExponents(form.depths, form.widths)


def _refuse_unknown(
    given: Mapping[object, object], allowed: Sequence[str], where: str, kind: str
) -> None:
    for key in given:
        if key not in allowed:
            choice = f"choose from {', '.join(allowed)}" if allowed else "there are none"
            raise RejectedError(
                f"has an unknown {kind}: {choice}{nearest(key, allowed)}", key, where
            )

"""`mupc.sweep`: tune, transfer and judge any training function."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from results.shapes import Shape
from transfer.spec.errors import SpecError

if TYPE_CHECKING:
    from results import Ledger
    from transfer import Pool, Progress, TransferResult

Sizes = Shape | Mapping[str, int] | Sequence[int] | int
"""A shape: a `Shape`, {"width": N, "depth": H}, a pair (N, H), or H alone."""


def sweep(
    train: Callable[..., object] | str | Mapping[str, Callable[..., object] | str],
    rates: Mapping[str, object],
    *,
    small: Sizes,
    targets: Sizes | Iterable[Sizes],
    rule: object = "zero_shot",
    seeds: int | Sequence[int] = 3,
    ledger: "str | os.PathLike[str] | Ledger" = "runs",
    pool: "Pool | None" = None,
    name: str | None = None,
    sampler: str = "grid",
    trials: int | None = None,
    in_flight: int | None = None,
    prune: object = None,
    extend: int | None = None,
    neighbourhood: int | str = 1,
    tolerance: float = 0.1,
    target_seeds: int | str | None = None,
    budget: Mapping[str, float] | None = None,
    progress: "Progress | None" = None,
) -> "TransferResult":
    """Tune the rates of a training function on a small shape, and judge whether they transfer.

    The function may train anything, in any framework. mupc searches its rates at the small shape,
    takes the best ones to the targets by a rule, reruns them there with their neighbours, and
    judges. Every run, curve and verdict is in the ledger; the same call continues after a kill and
    repeats nothing. docs/any-training.md has examples.

        def train(shape, rates, seed):
            model = build(shape.width, shape.depth, seed)
            return fit(model, lr=rates["lr"])          # the final loss

        result = mupc.sweep(train, {"lr": [0.01, 0.03, 0.1]}, small=(64, 2), targets=(64, 16))

    Args:
        train: train(shape, rates, seed), or several functions by name, which are compared. It
            returns the final training loss as a number; or a curve, a list of losses or of
            (step, loss) pairs, whose last tenth is averaged; or a mapping with `loss` or `curve`,
            `test_loss` and `test_accuracy`; or a `mupc.Outcome`. NaN and infinity mean that the run
            diverged. What it raises, or another kind of answer, is recorded as a failed run, and
            the sweep goes on. It is called in a process of its own.
        rates: the searched values of each rate, which are positive: a list, or a mapping
            {"low": ..., "high": ...} for a sampler. A list of integers makes a rate of integers,
            such as a batch size.
        small: the shape where rates are searched: (width, depth), or a mapping of these; a size
            that is left out is 1, and the same at the targets.
        targets: the shapes where the optimum is rerun.
        rule: how rates go to the targets: "zero_shot" (unchanged), "depth_mup", {"rule":
            "exponents", rate: {"depth": -0.5}}, {"rule": "fitted", "depths": [...]}; a mapping with
            a rule for each rate, {"lr": "depth_mup", "decay": "zero_shot"}; or a list of these,
            which are all judged.
        seeds: a count, or a list.
        ledger: a folder or a URI, which is created, or an open ledger.
        pool: trains the runs; by default a `LocalPool`, which is closed at the end.
        name: of the sweep in the ledger; by default that of the function.
        sampler: how cells are chosen; "grid" runs every cell of the lists.
        trials: number of cells, for samplers other than "grid".
        in_flight: cells that such a sampler proposes before the first of them is done; 8 by
            default.
        prune: "seeds" runs the first seed of every cell, and the others only of cells that may be
            the best; by default every cell runs with all seeds. A call of a function cannot be
            stopped early.
        extend: largest number of values to add on each side of each list while the optimum lies on
            the edge there; by default none.
        neighbourhood: places around the transferred cell that run at the targets too, or "all".
        tolerance: largest relative excess of the loss over the best at which the optimum held.
        target_seeds: seeds of every cell at the targets; "auto" adds seeds until the verdicts are
            decided; by default those of the search.
        budget: {"runs": ...} or {"hours": ...}, the most that the sweep may take; what is used up
            leaves verdicts from what ran.
        progress: receives the events of the job.

    Raises:
        SpecError: an argument cannot be used; one sentence per problem.
        LedgerError: the ledger cannot be opened or written to.
    """
    import transfer
    from transfer.spec.sweep import Sweep

    origin = _shape(small, "small", None)
    searched = {"trials": trials, "in_flight": in_flight, "prune": prune, "extend": extend}
    spec = {
        "name": name or _name(train),
        "train": train,
        "tune": {
            "width": origin.width,
            "depth": origin.depth,
            "rates": rates,
            "sampler": sampler,
            "seeds": seeds,
            **_given(searched),
        },
        "transfer": {
            "rules": rule,
            "targets": [vars(each) for each in _shapes(targets, origin)],
            "neighbourhood": neighbourhood,
            "tolerance": tolerance,
            **_given({"seeds": target_seeds}),
        },
        **_given({"budget": budget}),
    }
    experiment = Sweep.from_dict(spec)
    with ExitStack() as stack:
        opened = (
            transfer.open(ledger, create=True) if isinstance(ledger, str | os.PathLike) else ledger
        )
        if pool is None:
            from jobs.pools.local import LocalPool

            # Functions train in processes of their own, which need the memory of a GPU.
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
            pool = stack.enter_context(LocalPool())
        return transfer.run(experiment, opened, pool, progress=progress)


def _given(options: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of a spec that have a value: the others keep the defaults of the spec."""
    return {name: value for name, value in options.items() if value is not None}


def _name(train: object) -> str:
    """Return the name of a sweep of one function, or of the first of several."""
    if isinstance(train, Mapping):
        return "-".join(map(str, train))[:64] or "sweep"
    if isinstance(train, str):
        return train.partition(":")[2].replace(".", "-")[:64] or "sweep"
    name = str(getattr(train, "__name__", type(train).__name__))
    return name if name.isidentifier() and not name.startswith("_") else "sweep"


def _shapes(given: object, origin: Shape) -> list[Shape]:
    """Return the targets: one shape, or several."""
    alone = isinstance(given, Shape | Mapping | int) or (
        isinstance(given, Sequence) and all(isinstance(each, int) for each in given)
    )
    if isinstance(given, list) and alone:  # [8, 16] are two depths, (64, 16) is one shape
        alone = False
    if not alone and not isinstance(given, Iterable):
        raise SpecError(
            f"targets must be a shape (width, depth), or a list of these, got {given!r}"
        )
    several = [given] if alone else list(given)  # type: ignore[call-overload]
    return [_shape(each, f"targets[{place}]", origin) for place, each in enumerate(several)]


def _shape(given: object, where: str, origin: Shape | None) -> Shape:
    sizes = {"width": 1, "depth": 1} if origin is None else vars(origin)
    if isinstance(given, Shape):
        return given
    if isinstance(given, Mapping) and given.keys() <= sizes.keys():
        return Shape(**{**sizes, **given})
    if isinstance(given, int) and not isinstance(given, bool):
        return Shape(sizes["width"], given)
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        return Shape(*given)
    raise SpecError(
        f"{where} must be (width, depth), {{'width': ..., 'depth': ...}} or a depth, got {given!r}"
    )

"""How often the judge's intervals and words are right, on landscapes with known truth.

    python benchmarks/coverage.py [--quick] [--worlds N] [--json] [--ledger PATH] [--processes N]

Worlds are drawn from the families of `worlds.py`; the real landscapes are measured ones, of which
seeds are drawn again: the means over all seeds are the truth. The exit status is 1 if a bar is
missed. `--quick` draws few worlds, and a bar is missed only where chance is no excuse.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from measure import usable_cpus
from real_landscapes import Real, measured, of_ledger
from results.landscape import NOT_RUN, Cell, Landscape, mostly_trained
from results.shapes import Shape
from transfer.judge.comparison import compare
from transfer.judge.law import determined, fit
from transfer.judge.next_runs import MOST_SEEDS, next_runs
from transfer.judge.refine import refine
from transfer.judge.verdict import CONFIDENCE, FEWEST_SEEDS
from transfer.space import Grid, Space
from worlds import FAMILIES, LAW_FAMILIES, NOISES, World, neighbours

TOLERANCE = 0.1
LIMIT = math.log1p(TOLERANCE)
COVERED, COVERED_REAL, COVERED_ONE = 0.92, 0.92, 0.75
DECIDED, CLEAR, RUNS = {0.02: 0.98, 0.05: 0.98, 0.1: 0.9}, 0.05, 30
"""With one seed at a time: the share of verdicts that must be decided by noise, of worlds whose
regret is this far from the limit, and the most runs at the target on average."""
WIDTHS = dict(zip(NOISES, (0.04, 0.08, 0.16, 0.27), strict=True))
WRONG = 0.05
MANY, EXCUSE = 200, 0.01
"""A share of fewer worlds than `MANY` misses its bar where a count this bad has less than this
probability at the bar; with --quick, so does every share."""
TIE = 1e-9


@dataclass
class Tally:
    """What was counted in worlds of one kind.

    Attributes:
        covered: whether each interval of the regret holds the truth.
        widths: their widths where the target is as noisy as the tuned shape.
        beyond: of the worlds beyond the tolerance, which were called held.
        within: of those within it, which were called drifted.
        words: how many verdicts had each word: held, drifted, neither.
        achievable, drift, exponents: whether those intervals hold the truth.
        open: which intervals of the drift have an open side.
        known: which exponents are determined.
        decided: with one seed at a time, which clear worlds were decided.
        runs: with one seed at a time, the runs at each target of nine cells.
    """

    covered: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    beyond: list[bool] = field(default_factory=list)
    within: list[bool] = field(default_factory=list)
    words: list[int] = field(default_factory=lambda: [0, 0, 0])
    achievable: list[bool] = field(default_factory=list)
    drift: list[bool] = field(default_factory=list)
    open: list[bool] = field(default_factory=list)
    exponents: list[bool] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    decided: list[bool] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add the counts of another tally."""
        for name, values in vars(other).items():
            mine = getattr(self, name)
            if name == "words":
                self.words = [a + b for a, b in zip(mine, values, strict=True)]
            else:
                mine.extend(values)


@dataclass(frozen=True)
class Bar:
    """A measured share or width with what it must be.

    Attributes:
        name: what was measured.
        value: the share or width.
        limit: the least or the most.
        least: whether `limit` is the least.
        trials: of how many the value is a share; 0 for a width.
    """

    name: str
    value: float
    limit: float
    least: bool
    trials: int = 0

    def met(self, quick: bool) -> bool:
        """Return whether the bar is met, or missed by so few worlds that it may be chance."""
        if not self.trials:
            return quick or self.value <= self.limit
        if self.value >= self.limit if self.least else self.value <= self.limit:
            return True
        return (quick or self.trials < MANY) and self._chance() > EXCUSE / (10 if quick else 1)

    def _chance(self) -> float:
        """Return the probability of a share at least this bad if the true one is the limit."""
        bad = round((1 - self.value if self.least else self.value) * self.trials)
        rate = 1 - self.limit if self.least else self.limit
        return sum(
            math.comb(self.trials, k) * rate**k * (1 - rate) ** (self.trials - k)
            for k in range(bad, self.trials + 1)
        )


def main() -> None:
    options = parse()
    worlds = 3 if options.quick else options.worlds
    kinds = [(family, noise) for family in FAMILIES for noise in NOISES]
    lines = [(family, noise) for family in LAW_FAMILIES for noise in NOISES[:3]]
    sources = [*measured(), *(of_ledger(path) for path in options.ledger or ())]
    landscapes = [one for source in sources for one in source][: 3 if options.quick else None]
    with ProcessPoolExecutor(options.processes) as pool:
        three = dict(zip(kinds, pool.map(partial(tally, worlds, 3), kinds), strict=True))
        two = dict(zip(kinds, pool.map(partial(tally, max(1, worlds // 2), 2), kinds), strict=True))
        laws = dict(
            zip(lines, pool.map(partial(tally_laws, max(1, worlds // 4)), lines), strict=True)
        )
        steps = dict(
            zip(kinds, pool.map(partial(tally_steps, max(1, worlds // 4)), kinds), strict=True)
        )
        real = list(pool.map(partial(tally_real, max(worlds // 2, 10)), landscapes))
    bars = [*family_bars(3, three), *family_bars(2, two), *law_bars(laws), *step_bars(steps)]
    bars += real_bars(landscapes, real)
    missed = [bar for bar in bars if not bar.met(options.quick)]
    if options.json:
        print(json.dumps({bar.name: bar.value for bar in bars}))
    else:
        show(three, two, laws, landscapes, real)
        show_steps(steps)
    for bar in missed:
        side = "least" if bar.least else "most"
        print(f"missed: {bar.name} is {bar.value:.3f}, at {side} {bar.limit:g}", file=sys.stderr)
    sys.exit(bool(missed))


def tally(worlds: int, seeds: int, kind: tuple[str, float]) -> Tally:
    """Judge worlds of one family and noise; every other target is twice as noisy."""
    found, (family, noise) = Tally(), kind
    for number in range(worlds):
        draw = np.random.default_rng([number, seeds, int(1000 * noise), *family.encode()])
        ratio = 1 + number % 2
        world = FAMILIES[family](draw, noise, ratio)
        tuned, target, cell = world.observe(seeds, draw)
        _judge(found, tuned, target, cell, world.regret(target, cell), sharp=ratio == 1)
        if number % 4 < 2 and comparable(target, cell) and world.optima is not None:
            _judge_optimum(found, world, tuned, target, cell)
    return found


def comparable(target: Landscape, cell: Cell) -> bool:
    """Return whether the cell trained and has rivals, so that its regret is estimated."""
    place = target.place(cell)
    rivals = target.complete
    rivals[place] = False
    return mostly_trained(target, place) and bool(rivals.any())


def _judge(
    found: Tally, tuned: Landscape, target: Landscape, cell: Cell, truth: float, *, sharp: bool
) -> None:
    """Count whether the interval of the regret holds the truth, and whether the word is right."""
    if not comparable(target, cell):
        return
    compared = compare(tuned, target, cell)
    regret, held = compared.regret, compared.held(LIMIT)
    found.covered.append(regret.low - TIE <= truth <= regret.high + TIE)
    if sharp:
        found.widths.append(regret.high - regret.low)
    whole = bool(target.complete[target.place(cell)])
    is_held, is_drifted = held >= CONFIDENCE and whole, held <= 1 - CONFIDENCE
    (found.beyond if truth > LIMIT else found.within).append(
        is_held if truth > LIMIT else is_drifted
    )
    found.words[0 if is_held else 1 if is_drifted else 2] += 1


def _judge_optimum(
    found: Tally, world: World, tuned: Landscape, target: Landscape, cell: Cell
) -> None:
    """Count whether the intervals of the drift and of the achievable regret hold the truth."""
    assert world.optima is not None
    compared = compare(tuned, target, cell)
    away = world.optima[1] - world.optima[0]
    for axis, drift in enumerate(compared.drift.values()):
        found.drift.append(bool(drift.low <= away[axis] <= drift.high))
        found.open.append(not drift.bounded)
    achievable = compared.achievable
    truth = world.achievable(compared.regions[1], target, cell)
    found.achievable.append(achievable.low - TIE <= truth <= achievable.high + TIE)


def tally_laws(lines: int, kind: tuple[str, float]) -> Tally:
    """Fit laws to landscapes at three depths, three seeds each."""
    found, (family, noise) = Tally(), kind
    for number in range(lines):
        draw = np.random.default_rng([number, int(1000 * noise), *family.encode()])
        line = LAW_FAMILIES[family](draw, noise)
        space = Space(Grid(line.etas), Grid(line.betas))
        optima = {
            Shape(32, depth): refine(line.observe(depth, 3, draw), space, seed)
            for seed, depth in enumerate(line.depths)
        }
        if any(best is None or best.edges for best in optima.values()):
            continue
        law = fit(Shape(32, line.depths[0]), optima)
        for rate, truth in line.exponents.items():
            exponent = law.exponents[rate]["depth"]
            found.exponents.append(exponent.low <= truth <= exponent.high)
            found.known.append(determined(exponent))
    return found


def tally_steps(worlds: int, kind: tuple[str, float]) -> Tally:
    """Judge worlds with two seeds of every cell at the target, and then one more where it helps."""
    found, (family, noise) = Tally(), kind
    for number in range(worlds):
        draw = np.random.default_rng([number, 12, int(1000 * noise), *family.encode()])
        world = FAMILIES[family](draw, noise, 1.0)
        tuned, _, cell = world.observe(3, draw)
        everything = world.runs(1, neighbours(cell), MOST_SEEDS, draw)
        have = np.full(len(everything.cells), FEWEST_SEEDS)
        while True:
            target = first_seeds(everything, have)
            more = next_runs(tuned, target, cell, TOLERANCE)
            if not more:
                break
            have[[target.place(other) for other in more]] += 1
        if not comparable(target, cell):
            continue
        truth, before = world.regret(target, cell), sum(found.words[:2])
        _judge(found, tuned, target, cell, truth, sharp=False)
        if abs(truth - LIMIT) > CLEAR:
            found.decided.append(sum(found.words[:2]) > before)
        if len(have) == 9:
            found.runs.append(int(have.sum()))
    return found


def first_seeds(landscape: Landscape, have: np.ndarray) -> Landscape:
    """Return a landscape of which only the first seeds of each cell have run."""
    ran = np.arange(landscape.seeds) < have[:, None]
    return Landscape.of_losses(
        landscape.cells,
        np.where(ran, landscape.losses, np.nan),
        np.where(ran, landscape.statuses, NOT_RUN),
    )


def tally_real(draws: int, real: Real) -> Tally:
    """Judge a measured landscape from seeds drawn again, two to five at both shapes."""
    found = Tally()
    for number in range(draws):
        draw = np.random.default_rng([number, *real.name.encode()])
        drawn = real.observe(2 + number % 4, draw)
        if drawn is not None:
            tuned, target, cell = drawn
            _judge(found, tuned, target, cell, real.regret(target, cell), sharp=False)
    return found


def family_bars(seeds: int, tallies: dict[tuple[str, float], Tally]) -> Iterator[Bar]:
    """Yield what must hold in the synthetic families."""
    for family in FAMILIES:
        whole = total(t for (name, _), t in tallies.items() if name == family)
        yield share(f"{family}, {seeds} seeds: regret covered", whole.covered, COVERED)
        if whole.drift:
            yield share(f"{family}, {seeds} seeds: drift covered", whole.drift, COVERED)
        for noise in NOISES:
            one = tallies[family, noise]
            where = f"{family}, noise {noise:g}, {seeds} seeds"
            yield share(f"{where}: held though beyond", one.beyond, WRONG, least=False)
            yield share(f"{where}: drifted though within", one.within, WRONG, least=False)
    everything = total(tallies.values())
    wrong = [True] * sum(everything.within) + [False] * (
        everything.words[1] - sum(everything.within)
    )
    yield share(f"{seeds} seeds: drifted words that are wrong", wrong, WRONG, least=False)
    for noise in NOISES if seeds == 3 else ():
        widths = [w for (_, n), t in tallies.items() if n == noise for w in t.widths]
        yield Bar(
            f"noise {noise:g}, 3 seeds: width", float(np.median(widths)), WIDTHS[noise], False
        )


def law_bars(laws: dict[tuple[str, float], Tally]) -> Iterator[Bar]:
    """Yield what must hold for exponents."""
    for family in LAW_FAMILIES:
        whole = total(t for (name, _), t in laws.items() if name == family)
        yield share(f"{family}: exponents covered", whole.exponents, COVERED)


def step_bars(steps: dict[tuple[str, float], Tally]) -> Iterator[Bar]:
    """Yield what must hold where seeds are added one at a time."""
    for noise, limit in DECIDED.items():
        whole = total(t for (_, n), t in steps.items() if n == noise)
        yield share(f"one seed at a time, noise {noise:g}: decided", whole.decided, limit)
    whole = total(steps.values())
    yield share("one seed at a time: held though beyond", whole.beyond, WRONG, least=False)
    yield share("one seed at a time: drifted though within", whole.within, WRONG, least=False)
    yield Bar("one seed at a time: runs at 3 x 3", float(np.mean(whole.runs)), RUNS, False)


def real_bars(landscapes: list[Real], tallies: list[Tally]) -> Iterator[Bar]:
    """Yield what must hold for measured landscapes."""
    for real, found in zip(landscapes, tallies, strict=True):
        if found.covered:
            yield share(f"{real.name}: regret covered", found.covered, COVERED_ONE)
    if landscapes:
        yield share("real landscapes: regret covered", total(tallies).covered, COVERED_REAL)


def share(name: str, hits: list[bool], limit: float, *, least: bool = True) -> Bar:
    """Return the bar of a share."""
    value = float(np.mean(hits)) if hits else float(least)
    return Bar(name, value, limit, least, max(1, len(hits)))


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    found = Tally()
    for each in tallies:
        found.add(each)
    return found


def show(
    three: dict[tuple[str, float], Tally],
    two: dict[tuple[str, float], Tally],
    laws: dict[tuple[str, float], Tally],
    landscapes: list[Real],
    real: list[Tally],
) -> None:
    """Print the tables in Markdown."""
    print(
        "| family | seeds | regret covered | held though beyond | drifted though within | "
        "held / drifted / neither | achievable covered | drift covered | open |\n"
        f"|{'---|' * 9}"
    )
    for family in FAMILIES:
        for seeds, tallies in ((3, three), (2, two)):
            t = total(t for (name, _), t in tallies.items() if name == family)
            words = " / ".join(percent(w, sum(t.words)) for w in t.words)
            print(
                f"| {family} | {seeds} | {mean(t.covered)} | {mean(t.beyond)} | {mean(t.within)} "
                f"| {words} | {mean(t.achievable)} | {mean(t.drift)} | {mean(t.open)} |"
            )
    print("\n| noise | median width of the regret's interval, 3 seeds |\n|---|---|")
    for noise in NOISES:
        widths = [w for (_, n), t in three.items() if n == noise for w in t.widths]
        print(f"| {noise:g} | {np.median(widths):.3f} |")
    print("\n| family | exponents covered | determined |\n|---|---|---|")
    for family in LAW_FAMILIES:
        t = total(t for (name, _), t in laws.items() if name == family)
        print(f"| {family} | {mean(t.exponents)} | {mean(t.known)} |")
    print("\n| measured landscape | regret covered | wrong words of all |\n|---|---|---|")
    for source, t in zip(landscapes, real, strict=True):
        wrong = sum(t.beyond) + sum(t.within)
        print(f"| {source.name} | {mean(t.covered)} | {percent(wrong, sum(t.words))} |")
    t = total(real)
    wrong = percent(sum(t.beyond) + sum(t.within), sum(t.words))
    print(f"| all | {mean(t.covered)} | {wrong} |")


def show_steps(steps: dict[tuple[str, float], Tally]) -> None:
    """Print what one seed at a time reached, by noise."""
    print(
        "\n| noise | decided | held though beyond | drifted though within | mean runs at 3 x 3 |\n"
        f"|{'---|' * 5}"
    )
    for noise in (*NOISES, None):
        t = total(t for (_, n), t in steps.items() if noise in (n, None))
        print(
            f"| {'all' if noise is None else f'{noise:g}'} | {mean(t.decided)} "
            f"| {mean(t.beyond)} | {mean(t.within)} | {np.mean(t.runs):.1f} |"
        )


def mean(hits: list[bool]) -> str:
    return percent(sum(hits), len(hits))


def percent(count: int, of: int) -> str:
    return f"{100 * count / of:.1f}%" if of else "-"


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    found.add_argument("--quick", action="store_true", help="few worlds: half a minute")
    found.add_argument(
        "--worlds", type=int, default=100, help="of each family and noise (default 100)"
    )
    found.add_argument("--json", action="store_true", help="print the measured shares as JSON")
    found.add_argument(
        "--ledger",
        type=Path,
        action="append",
        help="also draw seeds from the landscapes of this ledger, those with at least six seeds",
    )
    found.add_argument(
        "--processes", type=int, default=len(usable_cpus()), help="by default one for each core"
    )
    return found.parse_args()


if __name__ == "__main__":
    main()

"""Mutation testing: change one operator or number at a time, and see whether the tests notice.

    python benchmarks/mutation.py [TARGET ...] [--sample 40] [--seed 0] [--jobs 2] [--list]
    python benchmarks/mutation.py judge --at results/landscape.py:159    # after a new test

A mutant is killed if one of its target's tests fails or takes longer than --limit seconds. Every
mutant is a forked process that has the heavy libraries loaded, replaces one module's source while
it is imported, and runs the tests until the first failure. No file is changed. A worker process per
mutant would spend its time on imports, which is why no framework is used. For Linux and macOS.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = ["pytest", "_pytest.assertion.rewrite", "hypothesis", "numpy", "pandas", "pyarrow.parquet"]
HEAVY += ["scipy.special", "jax.numpy", "equinox", "optax", "optuna", "pydantic", "yaml"]


@dataclass(frozen=True)
class Target:
    """Files whose mutants are run against the tests that cover them.

    Attributes:
        files: paths of sources.
        tests: paths of tests, the quickest first.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "judge": Target(
        (
            "transfer/judge/verdict.py",
            "transfer/judge/comparison.py",
            "transfer/judge/surface.py",
            "transfer/judge/observations.py",
            "results/landscape.py",
        ),
        (
            "tests/results/test_landscape.py",
            "tests/transfer/test_surface.py",
            "tests/transfer/test_verdict.py",
        ),
    ),
    "law": Target(("transfer/judge/law.py",), ("tests/transfer/test_law.py",)),
    "gradients": Target(
        ("pccore/networks/local.py", "pccore/networks/descent.py"),
        (
            "tests/pccore/test_local.py",
            "tests/pccore/test_descent.py",
            "tests/pccore/test_inference_error_based.py",
            "tests/pccore/test_inference_exact.py",
        ),
    ),
    "ledger": Target(
        (
            "results/storage/reading.py",
            "results/storage/choosing.py",
            "results/storage/filters.py",
            "results/storage/queries.py",
            "results/ledger.py",
        ),
        (
            "tests/results/test_landscape_table.py",
            "tests/results/test_ledger.py",
            "tests/results/test_ledger_bounds.py",
            "tests/results/test_ledger_identity.py",
            "tests/results/test_ledger_schema.py",
            "tests/results/test_plain_readers.py",
            "tests/results/test_ledger_opening.py",
            "tests/results/test_ledger_damage.py",
            "tests/results/test_ledger_golden.py",
            "tests/results/test_ledger_properties.py",
            "tests/results/test_ledger_quarantine.py",
            "tests/results/test_ledger_crashes.py",
        ),
    ),
    "grouping": Target(("transfer/engine/grouping.py",), ("tests/transfer/test_grouping.py",)),
}

UNOBSERVABLE = {"strict", "use_threads", "pre_buffer"}
"""Arguments that assert something or change speed alone, so that no test can tell them apart."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: path of the source.
        line: where the change is.
        change: source of the expression before and after.
        source: the whole module after the change.
    """

    file: str
    line: int
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.change}"


def main() -> int:
    options = parse()
    rng = random.Random(options.seed)
    failed = False
    with tempfile.TemporaryDirectory() as cache:
        for name in options.targets or TARGETS:
            failed |= not enough_killed(name, options, rng, cache)
    return int(failed)


def enough_killed(name: str, options: argparse.Namespace, rng: random.Random, cache: str) -> bool:
    """Run the mutants of a target and print the survivors and the count."""
    target = TARGETS[name]
    found = [
        mutant
        for file in target.files
        for mutant in mutants(file)
        if not options.at or f"{file}:{mutant.line}" in options.at
    ]
    chosen = rng.sample(found, min(options.sample or len(found), len(found)))
    if options.list:
        print(f"{name}: {len(found)} mutants")
        return True
    preload(cache)
    if run_tests(None, target.tests, options.limit) != "survived":
        sys.exit(f"{name}: the tests fail without any mutation")
    verdicts = []
    for mutant, verdict in judged(chosen, target.tests, options):
        verdicts.append(verdict)
        if verdict == "survived":
            print(f"SURVIVED {mutant}", flush=True)
    killed = len(verdicts) - verdicts.count("survived")
    share = killed / max(1, len(verdicts))
    took = f"{processor_seconds():.0f} s of processor time"
    print(f"{name}: {killed} of {len(verdicts)} mutants killed ({share:.0%}), {took}", flush=True)
    return share >= options.least


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("targets", nargs="*", help=f"default: all of {', '.join(TARGETS)}")
    found.add_argument("--sample", type=int, default=0, help="mutants of each (default: all)")
    found.add_argument("--at", nargs="+", metavar="FILE:LINE", help="only mutants of these lines")
    found.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    found.add_argument("--jobs", type=int, default=2, help="mutants at the same time (default 2)")
    found.add_argument("--limit", type=float, default=300, help="seconds of a mutant (300)")
    found.add_argument(
        "--most", type=float, default=math.inf, help="seconds of processor time (no limit)"
    )
    found.add_argument("--least", type=float, default=0.9, help="share to be killed (0.9)")
    found.add_argument("--list", action="store_true", help="count the mutants, and run nothing")
    options = found.parse_args()
    if unknown := set(options.targets) - TARGETS.keys():
        found.error(f"unknown target {sorted(unknown)[0]!r}; known: {', '.join(TARGETS)}")
    return options


def mutants(file: str) -> Iterator[Mutant]:
    """Yield every mutant of a source file, each different from it in one expression."""
    tree = ast.parse((ROOT / file).read_text())
    for number, node in enumerate(mutable(tree)):
        for variant in range(len(changes(node))):
            changed = deepcopy(tree)
            place = list(mutable(changed))[number]
            before = ast.unparse(place)
            after = changes(place)[variant]
            replace(changed, place, after)
            text = f"{before} -> {ast.unparse(after)}"
            yield Mutant(file, place.lineno, text, ast.unparse(ast.fix_missing_locations(changed)))


def mutable(node: ast.AST) -> Iterator[ast.expr]:
    """Yield expressions that can be changed; annotations, decorators and docstrings cannot."""
    skipped = {"annotation", "returns", "decorator_list", "type_params"}
    for field, value in ast.iter_fields(node):
        if field in skipped:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.keyword) and child.arg in UNOBSERVABLE:
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.expr) and changes(child):
                yield child
            yield from mutable(child)


def changes(node: ast.AST) -> list[ast.expr]:
    """Return the replacements of an expression."""
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in COMPARISONS:
            return [ast.Compare(left, [COMPARISONS[type(operator)]()], [right])]
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            return [ast.BinOp(left, OPERATORS[type(operator)](), right)]
        case ast.BoolOp(ast.And(), values):
            return [ast.BoolOp(ast.Or(), values)]
        case ast.BoolOp(ast.Or(), values):
            return [ast.BoolOp(ast.And(), values)]
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            return [operand]
        case ast.IfExp(test, body, orelse):
            return [ast.IfExp(test, orelse, body)]
        case ast.Constant(bool() as value):
            return [ast.Constant(not value)]
        case ast.Constant(int() | float() as value):
            return [ast.Constant(value + 1)]
    return []


def replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put a node in the place of another one."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
                return
            if isinstance(value, list):
                for index, child in enumerate(value):
                    if child is old:
                        value[index] = new
                        return


def preload(cache: str) -> None:
    """Import what the tests load anyway; nothing of the project, and no device is touched.

    Args:
        cache: the folder for compiled programs, unless the environment names another.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    # JAX reads these at import, before the tests could set a cache. The run without a mutation
    # fills it, and a mutant compiles only the programs that it changes.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in HEAVY:
        importlib.import_module(name)


def judged(
    chosen: Sequence[Mutant], tests: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[Mutant, str]]:
    """Run mutants, several at a time; yield each with "killed", "survived" or "timeout"."""
    waiting, running = list(chosen), {}
    end = processor_seconds() + options.most
    while waiting or running:
        if processor_seconds() > end:
            waiting.clear()
        while waiting and len(running) < options.jobs:
            mutant = waiting.pop(0)
            running[start(mutant, tests)] = mutant, time.monotonic() + options.limit
        for process in list(running):
            mutant, deadline = running[process]
            if (verdict := ended(process, deadline)) is not None:
                del running[process]
                yield mutant, verdict
        time.sleep(0.05)


def processor_seconds() -> float:
    """Return the processor time of this process and of the children that have ended."""
    return sum(os.times()[:4])


def run_tests(mutant: Mutant | None, tests: Sequence[str], limit: float) -> str:
    """Run tests on a mutant, or on the source as it is, and wait for the verdict."""
    process, deadline = start(mutant, tests), time.monotonic() + 5 * limit
    while (verdict := ended(process, deadline)) is None:
        time.sleep(0.05)
    return verdict


def start(mutant: Mutant | None, tests: Sequence[str]) -> int:
    """Fork a process that runs the tests; return its id."""
    process = os.fork()
    if process == 0:
        os.setsid()  # what the tests start can be ended with it
        status = 1
        try:
            with Path(os.devnull).open("w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            if mutant is not None:
                sys.meta_path.insert(0, Replaced(mutant))
            import pytest

            arguments = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
            status = int(pytest.main([*arguments, *tests]))
        finally:
            os._exit(status)
    return process


def ended(process: int, deadline: float) -> str | None:
    """Return the verdict of a process; None while it runs."""
    done, status = os.waitpid(process, os.WNOHANG)
    if done:
        return "survived" if status == 0 else "killed"
    if time.monotonic() < deadline:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "timeout"


class Replaced(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from a mutant's source."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.file.removesuffix(".py").replace("/", ".")
        self.path, self.source = str(ROOT / mutant.file), mutant.source

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str) -> bytes:
        return self.source.encode()

    def path_mtime(self, path: str) -> float:
        raise OSError  # no bytecode is read or written


if __name__ == "__main__":
    sys.exit(main())

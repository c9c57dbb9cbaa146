"""Digests of code: equal where the code is, different where anything that it uses is."""

import importlib.util
import itertools
import linecache
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from pccore import source_digest
from pccore.source_digest import code_of
from pccore.source_text import SourceError

MODULE = '''
"""A module."""
import jax
import jax.numpy as jnp
import numpy as np
from dataclasses import dataclass, field

BETA = 1.5
TABLE = np.arange(3.0)
OPTIONS = {"a": 1, "b": (2, 3)}


def helper(z):
    return z * BETA


def swish(z, gain=2.0, *, shift=0.0):
    """Return z times a sigmoid."""
    return gain * z * jax.nn.sigmoid(helper(z)) + shift + TABLE[0] + OPTIONS["a"]


def unrelated(z):
    return z


def factory(slope):
    def inner(z):
        return slope * z

    return inner


steep = factory(3.0)


@jax.custom_jvp
def custom(z):
    return jnp.tanh(z)


@custom.defjvp
def custom_jvp(points, moves):
    return custom(points[0]), moves[0]


jitted = jax.jit(helper)


def sizes():
    return [1, 2]


class Base:
    limit = 4

    def bound(self):
        return helper(self.limit)


@dataclass(frozen=True)
class Scheme(Base):
    """A scheme."""

    steps: int = 3
    sizes: list = field(default_factory=sizes)

    @property
    def twice(self):
        return 2 * self.steps

    @staticmethod
    def own(z):
        return unrelated(z)


scheme = Scheme(5)
'''
THINGS = ("swish", "steep", "custom", "jitted", "Scheme", "scheme")
count = itertools.count()


def load(folder: Path, text: str, name: str | None = None):
    """Return the module that a file with this text is, imported under a new name."""
    name = name or f"written_{next(count)}"
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def digests(folder, text=MODULE, things=THINGS):
    module = load(folder, text)
    return {thing: code_of(getattr(module, thing)).digest for thing in things}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return digests(tmp_path_factory.mktemp("usual"))


def test_things_of_a_module_differ(usual):
    assert len(set(usual.values())) == len(THINGS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Return z times a sigmoid."""', "# no docstring, a comment"),
        ("def swish(z, gain", "def swish(z: jax.Array, gain"),
        ("BETA = 1.5\n", "BETA = 3 / 2\n\n\n"),
        ("    return z * BETA\n", "    return (z\n            * BETA)  # rate\n"),
        ('"""A scheme."""', ""),
        ("def factory(slope):", "UNUSED = 7\n\n\ndef factory(slope):"),
    ],
    ids=["docstring", "annotation", "same value", "layout", "class docstring", "unused name"],
)
def test_what_does_nothing_keeps_every_digest(tmp_path, usual, old, new):
    assert old in MODULE
    assert digests(tmp_path, MODULE.replace(old, new)) == usual


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("BETA = 1.5", "BETA = 1.6", {"swish", "jitted", "Scheme", "scheme"}),
        ("return z * BETA", "return z + BETA", {"swish", "jitted", "Scheme", "scheme"}),
        ("np.arange(3.0)", "np.arange(4.0)", {"swish"}),
        ("np.arange(3.0)", "np.arange(3)", {"swish"}),
        ("(2, 3)", "(2, 4)", {"swish"}),
        ("gain=2.0", "gain=2.5", {"swish"}),
        ("shift=0.0", "shift=0.5", {"swish"}),
        ("factory(3.0)", "factory(4.0)", {"steep"}),
        ("slope * z", "slope - z", {"steep"}),
        ("moves[0]\n", "2 * moves[0]\n", {"custom"}),
        ("limit = 4", "limit = 5", {"Scheme", "scheme"}),
        ("return 2 * self.steps", "return 3 * self.steps", {"Scheme", "scheme"}),
        ("(z):\n    return z\n", "(z):\n    return -z\n", {"Scheme", "scheme"}),  # unrelated
        ("steps: int = 3", "steps: int = 4", {"Scheme", "scheme"}),
        ("return [1, 2]", "return [1, 3]", {"Scheme", "scheme"}),
        ("Scheme(5)", "Scheme(6)", {"scheme"}),
        ("def swish(", "def swish2(", None),
    ],
)
def test_what_changes_a_thing_changes_its_digest(tmp_path, usual, old, new, changed):
    assert old in MODULE
    if changed is None:  # renamed
        found = digests(tmp_path, MODULE.replace(old, new), ("swish2",))
        assert found["swish2"] != usual["swish"]
        return
    found = digests(tmp_path, MODULE.replace(old, new))
    assert {thing for thing in THINGS if found[thing] != usual[thing]} == changed


def test_digest_does_not_depend_on_version_or_machine(usual):
    """The digest is part of run ids, so that it must last."""
    assert usual["swish"] == "b41b84118f16"


def test_code_of_other_modules_of_the_user_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for number, slope in enumerate((1.0, 2.0, 1.0)):
        load(tmp_path, f"def slope(z):\n    return {slope} * z\n", "beside_digest")
        text = "import beside_digest\n\n\ndef phi(z):\n    return beside_digest.slope(z)\n"
        code = code_of(load(tmp_path, text, f"uses_{number}").phi)
        assert code.modules == ("beside_digest", f"uses_{number}")
        found.append(code.digest)
    assert found[0] == found[2] != found[1]


def test_values_that_the_users_modules_import_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for number, slope in enumerate((1.0, 2.0)):
        load(tmp_path, f"SLOPE = {slope}\n", "constants_digest")
        text = "from constants_digest import SLOPE\n\n\ndef slope(z):\n    return SLOPE * z\n"
        load(tmp_path, text, "imports_digest")
        text = "import imports_digest\n\n\ndef phi(z):\n    return imports_digest.slope(z)\n"
        found.append(code_of(load(tmp_path, text, f"uses_too_{number}").phi).digest)
    assert found[0] != found[1]


def test_equal_values_count_alike_whether_shared_or_not(tmp_path):
    text = "A = (1, 2)\nB = {}\n\n\ndef f(z):\n    return z * A[0] + B[1]\n"
    shared, apart = (load(tmp_path, text.format(b)).f for b in ("A", "tuple([1, 2])"))
    assert code_of(shared).digest == code_of(apart).digest


def test_things_of_libraries_count_by_name():
    assert code_of(jnp.tanh).digest == code_of(jnp.tanh).digest != code_of(jnp.sin).digest
    assert code_of(np.tanh).modules == code_of(jnp.tanh).modules == ()


def test_libraries_of_another_environment_count_by_name(tmp_path, monkeypatch):
    """An environment may see another's packages, by PYTHONPATH or a .pth file."""
    folder = tmp_path / "other" / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "borrowed.py").write_text("FACTOR = object()\n\n\ndef f(z):\n    return FACTOR\n")
    monkeypatch.syspath_prepend(str(folder))
    text = "import borrowed\n\n\ndef f(z):\n    return borrowed.f(z)\n"
    assert code_of(load(tmp_path, text, "mine").f).modules == ("mine",)
    monkeypatch.delitem(sys.modules, "borrowed")


def test_a_recursive_function_has_a_digest(tmp_path):
    text = "def power(z, n=3):\n    return z if n == 1 else z * power(z, n - 1)\n"
    one, other = (code_of(load(tmp_path, text).power).digest for _ in range(2))
    assert one == other


def defined(text):
    namespace = {"__name__": "typed"}
    exec(text, namespace)
    return namespace["f"]


def changed_since(folder):
    module = load(folder, "def f(z):\n    return z\n")
    Path(module.__file__).write_text("def f(z):\n    return z + 1\n")
    linecache.clearcache()
    return module.f


REFUSED = [
    (lambda _: defined("def f(z): return z"), "there is no source of typed"),
    (changed_since, "has changed since it was imported: start Python again"),
    (
        lambda folder: load(folder, "f, g = (lambda z: z), (lambda z: -z)\n").f,
        "line 1 of .* has 2 functions, of which one is lambda",
    ),
    (
        lambda folder: load(
            folder, "from threading import Lock\n\nh = Lock()\n\n\ndef f(z):\n    return h, z\n"
        ).f,
        "f refers to an object of type lock",
    ),
    (
        lambda folder: load(folder, "def f(z):\n    import beside\n\n    return beside.g(z)\n").f,
        "f imports beside while it runs.*: import it at the top of its module",
    ),
    (
        lambda folder: load(
            folder, "import numpy as np\n\nA = np.array([[], 1], dtype=object)\n\n\ndef f(z):\n"
            "    return A, z\n"
        ).f,
        "f refers to an array of objects",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refuses_what_code_does_not_identify(tmp_path, make, message):
    with pytest.raises(SourceError, match=message):
        code_of(make(tmp_path))


def reads_digits(z: object) -> object:
    return load_digits()


def test_a_library_may_have_objects_in_closures() -> None:
    """scikit-learn's decorators keep parameters' constraints there, which have no content."""

    def is_refused(value: object) -> bool:
        try:
            code_of(value)
        except SourceError:
            return True
        return False

    assert any(is_refused(cell.cell_contents) for cell in load_digits.__closure__ or ())
    assert not is_refused(reads_digits)


def test_packages_of_another_environment_are_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .pth file or PYTHONPATH adds their folder, of which `site` and `sysconfig` do not know."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    lazy = "def numbers():\n    import rarely_there\n\n    return rarely_there.x\n"
    (folder / "lent_package.py").write_text(lazy)
    (folder / "rarely_there.py").write_text("x = 1\n")
    own = "import lent_package\n\n\ndef train(z):\n    return lent_package.numbers() * z\n"
    monkeypatch.syspath_prepend(str(folder))
    caches = (source_digest.is_library, source_digest._library_folders)
    for cached in caches:
        cached.cache_clear()
    try:
        code = code_of(load(tmp_path, own, "own_training").train)
    finally:
        for cached in caches:
            cached.cache_clear()
    assert code.modules == ("own_training",)

"""The process that calls a training function of the user's: `python -m jobs.pools.function_child`.

It reads requests from a pipe and writes answers to another. It imports neither JAX nor anything
else that the function does not import itself. When the parent ends, it ends with all processes that
the function has started.
"""

import importlib.abc
import importlib.util
import multiprocessing  # noqa: F401 - its first import takes the name __mp_main__, see MAIN
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import BinaryIO, ClassVar, NotRequired, TypedDict

LENGTH = struct.Struct("<Q")
DEEPEST = 4
"""Levels of lists and mappings in an answer."""
LONGEST_TEXT = 300

_functions: dict[str, Callable[..., object]] = {}


class SentModule(TypedDict):
    """A module of the user's, as `transfer.function_code.Module` has it."""

    text: str
    file: str
    package: bool


class Request(TypedDict):
    """A call of a function; the first one brings the function."""

    name: str
    shape: object
    rates: dict[str, float]
    seed: int
    place: NotRequired[tuple[str, str] | None]
    pickled: NotRequired[bytes]
    path: NotRequired[list[str]]
    modules: NotRequired[dict[str, SentModule]]


def main() -> None:
    """Answer requests until the parent closes its pipe."""
    sys.meta_path.insert(0, _SentModules())
    reading, writing = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(reading, requests), daemon=True).start()
    while True:
        answer = pickle.dumps(_answer(requests.get()))
        writing.write(LENGTH.pack(len(answer)) + answer)
        writing.flush()


def _receive(reading: BinaryIO, requests: "queue.SimpleQueue[Request]") -> None:
    while True:
        try:
            requests.put(pickle.loads(_frame(reading)))
        except EOFError:  # the parent has ended
            os.killpg(0, signal.SIGKILL)


def _frame(reading: BinaryIO) -> bytes:
    """Read a message; raise `EOFError` if the other end is closed."""
    head = reading.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    body = reading.read(length)
    if len(body) < length:
        raise EOFError
    return body


def _answer(request: Request) -> tuple[str, object]:
    """Call the function; return ("returned", value), or ("failed", cause).

    "unloaded" in place of "failed" means that the function has to be sent again.
    """
    name = request["name"]
    if name not in _functions:
        try:
            _functions[name] = _loaded(request)
        except BaseException as error:
            return "unloaded", _cause(error)
    try:
        value = _functions[name](request["shape"], request["rates"], request["seed"])
        return "returned", _plain(value, DEEPEST)
    except BaseException as error:  # SystemExit, too: a run, not the process, has failed
        return "failed", _cause(error)


def _loaded(request: Request) -> Callable[..., object]:
    """Return the function that a first request brings, with the modules that it needs."""
    sys.path[:] = request["path"]
    _SentModules.texts |= request["modules"]
    for module in request["modules"]:
        sys.modules.pop(module, None)  # of another function that was sent earlier
    if request["place"] is None:
        import cloudpickle

        return cloudpickle.loads(request["pickled"])
    module, name = request["place"]
    return getattr(importlib.import_module(module), name)


class _SentModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from the texts that the parent sent."""

    texts: ClassVar[dict[str, SentModule]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import a module; None if it was not sent."""
        if name not in self.texts:
            return None
        text = self.texts[name]
        return importlib.util.spec_from_file_location(
            name,
            text["file"],
            loader=self,
            submodule_search_locations=[os.path.dirname(text["file"])]  # noqa: PTH120
            if text["package"]
            else None,
        )

    def get_source(self, name: str) -> str:
        """Return the text of a module."""
        return str(self.texts[name]["text"])

    def get_code(self, name: str) -> CodeType:
        """Return a module compiled."""
        return compile(self.get_source(name), self.texts[name]["file"], "exec")


def _plain(value: object, levels: int) -> object:
    """Return the numbers, lists and mappings that a value stands for, whatever library it is of.

    The name of its type, as bytes, stands for anything else.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if _is_outcome(value):
        return value
    if levels and isinstance(value, dict):
        return {str(key): _plain(each, levels - 1) for key, each in value.items()}
    if levels and isinstance(value, list | tuple):
        return [_plain(each, levels - 1) for each in value]
    if hasattr(value, "tolist"):  # of NumPy, JAX, PyTorch and pandas
        return _plain(value.tolist(), levels - 1) if levels else None
    if isinstance(value, bool | int | float):
        return float(value)
    kind = type(value)
    place = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{place}{kind.__qualname__}".encode()


def _is_outcome(value: object) -> bool:
    module = sys.modules.get("pccore.training.outcomes")
    return module is not None and isinstance(value, module.Outcome)


def _cause(error: BaseException) -> str:
    """Return an error in one sentence, with the place in the user's code."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    text = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "site-packages" not in frame.filename
    ]
    if not frames:
        return text
    return f"{text} ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"  # noqa: PTH119


if __name__ == "__main__":
    main()

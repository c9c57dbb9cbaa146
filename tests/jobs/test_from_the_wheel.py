"""A newcomer's study with the wheel alone: own data, layers, activation, scheme and training.

It runs in an empty folder, on the local pool and on a Ray cluster of two nodes; the driver is
killed and started again, and the network predicts.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from ray_nodes import Nodes, ray_nodes
from wheels import ROOT, checked, outside

import results

pytestmark = [pytest.mark.slow, pytest.mark.ray]

PATIENCE = 300.0
MODULE = '''
"""What a newcomer writes."""
import time
from dataclasses import dataclass
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mupc import pccore


def bump(z):
    return z * jnp.exp(-z * z / 4)


def net(width, depth, key, input_size, output_size, activation):
    sizes = [input_size, *[width] * depth, output_size]
    keys = jax.random.split(key, depth + 1)
    first, *others = [eqx.nn.Linear(*pair, key=k) for pair, k in zip(pairwise(sizes), keys)]
    phi = eqx.nn.Lambda(activation)
    return [first, *(eqx.nn.Sequential([phi, linear]) for linear in others)]


@dataclass(frozen=True)
class TwoHalves(pccore.InferenceScheme):
    steps: int

    @property
    def step_limit(self):
        return self.steps

    def infer(self, relaxation, activity_lr, departure=None, observe=None):
        half = pccore.GradientDescent(max(1, self.steps // 2))
        first = half.infer(relaxation, activity_lr, departure)
        return half.infer(relaxation, activity_lr, first.departure)


def train(shape, rates, seed):
    """A product of `depth` numbers becomes 2."""
    time.sleep(0.5)
    numbers = 1 + 0.01 * np.random.default_rng(seed).standard_normal(shape.depth)
    losses = []
    for _ in range(20):
        product = np.prod(numbers)
        losses.append(0.5 * (product - 2) ** 2 + 0.01)
        numbers = numbers - rates["lr"] * (product - 2) * product / numbers
    return losses
'''
NETWORKS = {
    "name": "networks",
    "dataset": {"file": "points.npz"},
    "network": {"family": "mine:net", "activation": "mine:bump"},
    "training": {
        "steps": 300,
        "batch_size": 32,
        "inference": {"scheme": "mine:TwoHalves", "steps": 6},
    },
    "tune": {"width": 8, "depth": 2, "weight_lr": [0.01, 0.03], "activity_lr": [1, 3], "seeds": 2},
    "transfer": {"depths": [3]},
}
FUNCTION = {
    "name": "function",
    "train": "mine:train",
    "tune": {"width": 1, "depth": 2, "rates": {"lr": [0.01, 0.02, 0.05]}, "seeds": 2},
    "transfer": {"depths": [4]},
}
SCRIPT = '''
"""The same in Python, with everything as an object."""
import sys

import numpy as np

import mupc
from mine import TwoHalves, bump, net, train

points = np.load("points.npz")
experiment = mupc.Experiment.from_dict(
    {
        "name": "networks",
        "dataset": mupc.Dataset.from_arrays(points["x"], points["y"]),
        "network": {"family": net, "activation": bump},
        "training": {"steps": 300, "batch_size": 32, "inference": TwoHalves(steps=6)},
        "tune": {
            "width": 8, "depth": 2, "weight_lr": [0.01, 0.03], "activity_lr": [1, 3], "seeds": 2,
        },
        "transfer": {"depths": [3]},
    }
)
if __name__ == "__main__":
    with mupc.RayPool(address=sys.argv[1]) if sys.argv[1:] else mupc.LocalPool() as pool:
        result = mupc.run(experiment, mupc.open("runs", create=True), pool)
        mupc.sweep(
            train, {"lr": [0.01, 0.02, 0.05]}, small=(1, 2), targets=[(1, 4)], seeds=2,
            name="function", pool=pool,
        )
    network = result.network("pc", depth=3, best=True)
    print(*np.unique(points["y"])[network.labels(points["x"][:3])])
'''
TWO_LINES = """
import json, mupc, sys, numpy
mupc.load("networks.yaml")
network = mupc.open("runs").network(sys.argv[1])
accuracy = network.accuracy(mupc.read_dataset("points.npz"))
outputs = numpy.asarray(network(numpy.load("points.npz")["x"])).tolist()
mupc.load_network(sys.argv[2])
print(json.dumps([mupc.__file__, accuracy, outputs]))
"""


@dataclass(frozen=True)
class Place:
    """A newcomer's folder and environment, and the pool that trains.

    Attributes:
        folder: with the module, the data, two specs and a script.
        variables: the environment of processes.
        pool: options of `mupc run`.
        address: of the cluster, None for the local pool.
    """

    folder: Path
    variables: dict[str, str]
    pool: tuple[str, ...] = ()
    address: str | None = None

    def run(self, *command: str) -> str:
        """Run a command that must succeed."""
        return checked(list(command), cwd=self.folder, env=self.variables)

    def runs(self, experiment: str) -> set[str]:
        """Return the ids of the runs in the ledger."""
        try:
            return set(results.open(self.folder / "runs").runs(experiment=experiment)["run_id"])
        except results.LedgerError:
            return set()

    def killed(self, experiment: str, *command: str) -> set[str]:
        """Kill a command once the ledger has runs; return these."""
        log = (self.folder / "killed").open("w")
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.variables, stdout=log, stderr=log
        )
        end = time.monotonic() + PATIENCE
        while not self.runs(experiment):
            assert process.poll() is None, (self.folder / "killed").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        process.kill()
        process.wait()
        log.close()
        return self.runs(experiment)


@pytest.fixture(scope="module")
def nodes(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes whose Python is the newcomer's."""
    folder = tmp_path_factory.mktemp("nodes")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        with ray_nodes(folder, str(environment / "python")) as nodes:
            nodes.join()
            nodes.join()
            yield nodes


@pytest.fixture(params=["local", "two nodes"])
def place(request: pytest.FixtureRequest, environment: Path, tmp_path: Path) -> Place:
    """An empty folder with what a newcomer writes."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((300, 6))
    np.savez(tmp_path / "points.npz", x=x, y=np.where(x[:, 0] > x[:, 1], "left", "right"))
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "networks.yaml").write_text(yaml.safe_dump(NETWORKS))
    (tmp_path / "function.yaml").write_text(yaml.safe_dump(FUNCTION))
    (tmp_path / "script.py").write_text(SCRIPT)
    path = f"{environment}{os.pathsep}{os.environ['PATH']}"
    clean = outside() | {"PATH": path}
    if request.param == "local":
        return Place(tmp_path, clean)
    nodes: Nodes = request.getfixturevalue("nodes")
    options = ("--pool", "ray", "--address", nodes.address)
    return Place(tmp_path, clean | nodes.variables(), options, nodes.address)


def test_a_newcomers_study_survives_a_kill_and_returns_its_network(place: Place) -> None:
    for name in ("networks", "function"):
        command = ("mupc", "run", f"{name}.yaml", *place.pool)
        before = place.killed(name, *command)
        said = place.run(*command)
        after = place.runs(name)
        assert before < after  # it was killed in the middle, and lost nothing
        assert f"{len(after)} runs, {len(after) - len(before)} of them trained now" in said
    place.run("mupc", "check")
    ledger = results.open(place.folder / "runs")
    runs = ledger.runs()
    assert runs["run_id"].is_unique
    assert set(runs["outcome"]) == {"trained"}, runs["cause"].tolist()
    if place.address is not None:
        assert runs["pid"].nunique() >= 2
    best = runs[runs["weights_digest"].notna()].sort_values("final_train_loss").iloc[0]
    place.run("mupc", "export", best["run_id"], "--to", "net.safetensors")
    file, accuracy, outputs = json.loads(
        place.run("python", "-c", TWO_LINES, best["run_id"], "net.safetensors")
    )
    assert "site-packages" in file
    assert not Path(file).is_relative_to(ROOT)
    assert accuracy == pytest.approx(best["test_accuracy"], abs=1e-6)
    assert accuracy > 0.9  # the classes are a half space each
    assert np.shape(outputs) == (300, 2)
    # In Python it is the same experiment: the ledger has all its runs.
    arguments = () if place.address is None else (place.address,)
    said = place.run("python", "script.py", *arguments)
    assert said.split()[-3:] == list(np.load(place.folder / "points.npz")["y"][:3])
    assert len(ledger.runs()) == len(runs)

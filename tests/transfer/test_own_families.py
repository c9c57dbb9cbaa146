"""Networks of a function of the user's in a sweep: the same as built-in ones, and what is refused.

That they are identified by their code, and run on every pool, is in `test_own_things.py` and
`tests/jobs/test_own_sweeps.py`.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import own_module
import pytest
from test_family import SCHEMES
from transfer_fakes import TrainingPool, spec

import pccore
import transfer
from results import LedgerError
from transfer import Experiment, SpecError
from transfer.engine.plan import Plan
from transfer.engine.rebuilding import run_of

DIGITS = pccore.data.load("digits")


def stack(width, depth, key, input_size, output_size, activation, parameterisation, residual):
    """The built-in network, layer by layer."""
    layers = pccore.NetworkConfig(
        input_size, output_size, width, depth, "tanh", residual, parameterisation
    )
    return [replace(layer) for layer in layers.build(key).layers()]


def experiment(**changes: Any) -> Experiment:
    """Return a valid spec with these changes and the usual variants; None leaves a key out."""
    values = spec(**changes)
    if "variants" not in changes:
        del values["variants"]
    values["tune"] = {k: v for k, v in values["tune"].items() if v is not None}
    return Experiment.from_dict(values)


def plan(read: Experiment) -> Plan:
    return Plan(read, pccore.data.info("digits"), digest="0" * 64)


SHORT: dict[str, Any] = {
    "training": {"steps": 40, "eval_every": 20, "inference": {"steps": 3}},
    "tune": {"width": 8, "depth": 2, "weight_lr": [0.05, 0.1], "activity_lr": [10], "seeds": 1},
    "transfer": {"depths": [3], "neighbourhood": 0},
    "variants": ["mupc"],
}


def test_road_of_the_same_network_has_the_same_losses_and_verdicts(tmp_path: Path) -> None:
    """Tune, transfer, judge and train again."""
    frames, verdicts = [], []
    for name, network in (("own", {"family": stack}), ("built-in", {})):
        ledger = transfer.open(tmp_path / name, create=True)
        read = experiment(**SHORT, network={"activation": "tanh", **network})
        result = transfer.run(read, ledger, TrainingPool())
        frames.append(ledger.runs().sort_values(["variant", "depth", "weight_lr"]))
        verdicts.append(sorted((v["variant"], v["verdict"]) for v in result.verdicts))
        ledger_of_own = ledger if name == "own" else ledger_of_own
    own, built_in = frames
    assert len(own) == len(built_in) == 3
    for column in ("final_train_loss", "test_loss"):
        np.testing.assert_allclose(own[column], built_in[column], rtol=2e-4)
    assert set(own["run_id"]).isdisjoint(built_in["run_id"])
    assert own["layers_learned"].tolist() == built_in["layers_learned"].tolist()
    assert verdicts[0] == verdicts[1]
    row = own.iloc[-1]
    again = pccore.fit(*ledger_of_own.rebuild(row["run_id"]))
    assert again.final_train_loss == row["final_train_loss"]


@pytest.mark.parametrize("scheme", sorted(set(SCHEMES) - {"exact"}))
def test_schemes_infer_the_activities_of_own_layers(scheme: str) -> None:
    beta = {} if pccore.INFERENCE[scheme].uses_activity_lr else {"activity_lr": None}
    training = {"inference": {"scheme": scheme, **SCHEMES[scheme]}}
    read = experiment(network={"family": own_module.layers}, training=training, tune=beta)
    assert [variant.name for variant in read.variants] == ["pc"]
    plan(read).check()


def test_beta_comes_from_the_spectrum_of_own_layers() -> None:
    """Of the linear layers that the built-in network has, the same."""
    tune = {"activity_lr": "spectral", "width": 8, "depth": 2}
    found = []
    for network in ({"family": stack}, {}):
        read = experiment(
            network={"activation": "tanh", **network}, tune=tune, training={"steps": 2}
        )
        job = plan(read)
        config = job.config(job.arms[0], read.tune.shape)
        readings = pccore.fit(config, DIGITS, pccore.Lane(0.01, None, 0)).readings
        found.append([r.value for r in readings if r.quantity == "spectral_lambda_max"])
    np.testing.assert_allclose(*found, rtol=1e-3)


def test_settings_of_the_energy_reach_own_layers() -> None:
    """Precisions are those of the nodes that the function makes."""
    read = experiment(
        network={
            "family": own_module.layers,
            "hidden_precision": {"first": 8, "last": 1},
            "output_precision": 3,
            "activity_decay": 0.1,
            "output": "cross_entropy",
        }
    )
    job = plan(read)
    arm, shape = job.arms[0], replace(read.tune.shape, depth=4)
    network = job.config(arm, shape).network
    assert network.precisions == pytest.approx((8, 4, 2, 1, 3))
    assert (network.activity_decay, network.output) == (0.1, "cross_entropy")
    (run, *_) = job.runs(arm, shape, arm.space.cells)
    assert run_of({**run.determinants, "variant": "pc"}, 64, 10).config == run.config
    assert run.determinants["residual"] is None
    never_met = {**run.determinants, "network": "never_met@0123456789ab"}
    with pytest.raises(LedgerError, match=r"'never_met@0123456789ab' is a user's own, which this"):
        run_of(never_met, 64, 10)


def test_options_and_shapes_are_part_of_a_run() -> None:
    def images(width, depth, key, input_shape, gain=1.0):
        assert input_shape == (1, 8, 8)
        return own_module.layers(width, depth, key, 64, 10, lambda z: jnp.tanh(z).ravel(), gain)[1:]

    def run(**options: Any) -> Any:
        family = {"name": own_module.layers, **options}
        job = plan(experiment(network={"family": family}))
        return job.runs(job.arms[0], job.experiment.tune.shape, job.arms[0].space.cells[:1])[0]

    ids = {run(**options).run_id for options in ({}, {"gain": 1.0}, {"gain": 2.0})}
    assert len(ids) == 2
    assert run(gain=2.0).determinants["network_options"] == '{"options": {"gain": 2.0}}'


@pytest.mark.parametrize(
    ("network", "others", "sentence"),
    [
        ({"family": own_module.layers}, {"variants": ["mupc"]},
         "mupc cannot be trained: the layers of layers@X have scalings and initial weights of "
         "their own: choose the variant pc or bp, or give the function the parameter "
         "parameterisation"),
        ({"family": own_module.module}, {},
         "pc cannot be trained: the family module@X makes one module, without activities between "
         "layers to infer: return a list of layers, or choose the variant bp"),
        ({}, {"variants": ["pc"]},
         "pc cannot be trained: pc leaves scalings to the layers, and those of the family "
         "'stacked' take them from a parameterisation: choose from mupc, sp, sp_gaussian, ntp, "
         "orthogonal"),
        ({"family": own_module.layers, "residual": False}, {},
         "network.residual must be left out: the family layers@X has no parameter residual"),
        ({"family": own_module.module, "activation": "tanh"}, {"variants": ["bp"]},
         "network.activation must be left out: the family module@X has no parameter activation"),
        ({"family": own_module.layers, "order": "weights_first"}, {},
         "network.order must be left out: the family layers@X has no parameter order"),
        ({"family": own_module.layers}, {"variants": ["hybrid"]},
         "hybrid cannot be trained: its layers are fully connected: network.family must be "
         "'stacked'"),
        ({"family": own_module.layers}, {"transfer": {"rules": "depth_mup"}},
         "transfer.rules[0] must not be depth_mup, which is about muPC's scalings, for pc"),
        ({"family": own_module.swish}, {},
         "network.family: swish must have the parameters width, depth and key (for its random "
         "weights), and return layers or an Equinox module; it has no width and no depth and no "
         "key"),
        ({"family": own_module.Halves}, {},
         "network.family: Halves must be a function of width, depth and key that returns layers "
         "or an Equinox module, not the class Halves"),
        ({"family": "stakced"}, {},
         "network.family.name is an unknown family of networks 'stakced': choose from stacked, "
         "convolutional; did you mean 'stacked'?"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_what_does_not_fit_own_layers_is_one_sentence(
    network: dict[str, Any], others: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        experiment(network=network, **others)
    assert re.sub(r"@[0-9a-f]{12}", "@X", str(caught.value)) == sentence


def test_own_layers_that_fail_are_one_sentence() -> None:
    def broken(width, depth, key):
        return own_module.layers(width, depth, key, 64, 10, None)

    with pytest.raises(SpecError) as caught:
        experiment(network=broken)
    assert str(caught.value) == (
        "pc cannot be trained: layer 2 (Sequential) cannot take layer 1's shape (8,): 'NoneType' "
        "object is not callable"
    )

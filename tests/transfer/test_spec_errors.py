"""Errors of a spec: one sentence with the key, the value, and what is allowed."""

from typing import Any

import pytest
from transfer_fakes import spec

from transfer import Experiment, SpecError

LISTS = {"sampler": "tpe", "trials": 9}
RANGE = {"low": 0.01, "high": 1}

# Changes to a valid spec, and fragments of its one error: key, value, what is allowed.
CASES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"nmae": "x"}, ("unknown key nmae", "did you mean 'name'?")),
    ({"tune": {"widht": 8}}, ("unknown key tune.widht", "did you mean 'width'?")),
    ({"training": {"inference": {"step": 3}}}, ("training.inference.step", "mean 'steps'?")),
    ({"training": {"optimizer": "adam"}}, ("training.optimizer", "did you mean 'optimiser'?")),
    ({"transfer": {"<<": {}}}, ("transfer.<<", "depths, widths, targets")),
    ({"name": None}, ("name", "None", "letters")),
    ({"name": ""}, ("name", "''", "letters")),
    ({"name": "../up"}, ("name", "'../up'", "starts with a letter")),
    ({"name": "x" * 65}, ("name", "64", "xxx...")),
    ({"dataset": "minst"}, ("dataset", "'minst'", "digits, ", "did you mean 'mnist'?")),
    ({"dataset": 3}, ("dataset", "3", "digits, ")),
    ({"network": 5}, ("network must be a mapping", "5")),
    ({"network": {"activation": "rleu"}}, ("activation", "'rleu'", "did you mean 'relu'?")),
    ({"network": {"activation": []}}, ("network.activation", "1 to 1,000 entries", "0")),
    ({"network": {"activation": ["relu", "relu"]}}, ("network.activation[1]", "twice", "'relu'")),
    ({"network": {"activation": ["relu", 1]}}, ("network.activation[1]", "linear, tanh", "1")),
    ({"network": {"residual": "yes"}}, ("network.residual", "true or false", "'yes'")),
    ({"network": {"output": "mae"}}, ("network.output", "'mae'", "mse, cross_entropy")),
    (
        {"dataset": "toy_sine", "network": {"output": "cross_entropy"}},
        ("network.output", "'mse'", "toy_sine", "regression", "'cross_entropy'"),
    ),
    ({"variants": []}, ("variants", "1 to 1,000 entries", "0")),
    ({"variants": "mupc"}, ("variants must be a list", "'mupc'")),
    ({"variants": ["mupcc"]}, ("variants[0].name", "'mupcc'", "did you mean 'mupc'?")),
    ({"variants": ["mupc", "sp", "mupc"]}, ("variants[2]", "twice", "'mupc'")),
    ({"variants": ["sp", {"name": "sp", "weight_lr": [1]}]}, ("variants[1]", "twice", "'sp'")),
    ({"variants": [{"weight_lr": [1]}]}, ("variants[0].name is missing", "mupc, pc, sp")),
    ({"variants": ["mupc", 7]}, ("variants[1] must be a mapping", "7")),
    ({"variants": [{"name": "bp", "activity_lr": [1]}]}, ("variants[0].activity_lr", "left out")),
    ({"variants": [{"name": "sp", "weight_lr": [0]}]}, ("variants[0].weight_lr[0]", "0", "1e-30")),
    ({"variants": [{"name": "sp", "lr": [1]}]}, ("variants[0].lr", "name, weight_lr")),
    ({"training": {"steps": None}}, ("either epochs or steps", "neither")),
    ({"training": {"epochs": 1}}, ("either epochs or steps", "both")),
    ({"training": {"steps": 0}}, ("training.steps", "integer from 1", "got 0")),
    ({"training": {"steps": 1.5}}, ("training.steps", "integer", "got 1.5")),
    ({"training": {"steps": 1e3}}, ("training.steps", "integer", "got 1000.0")),
    ({"training": {"steps": True}}, ("training.steps", "integer", "got True")),
    ({"training": {"steps": 10**5000}}, ("training.steps", "integer", "thousands of digits")),
    ({"training": {"steps": None, "epochs": -1}}, ("training.epochs", "number", "got -1")),
    ({"training": {"steps": None, "epochs": 0.01}}, ("training.epochs", "at least one step")),
    ({"training": {"steps": None, "epochs": 10**6 - 1, "batch_size": 1}}, ("epochs", "at most")),
    ({"training": {"batch_size": 0}}, ("training.batch_size", "integer from 1", "got 0")),
    ({"training": {"batch_size": 5000}}, ("training.batch_size", "1,442", "got 5,000")),
    ({"training": {"eval_every": -1}}, ("training.eval_every", "integer from 1", "got -1")),
    ({"training": {"optimiser": "adm"}}, ("training.optimiser", "'adm'", "mean 'adam'?")),
    ({"training": {"optimiser": {"eps": 1}}}, ("training.optimiser.name", "adam, sgd")),
    ({"training": {"optimiser": {"name": "adam", "epz": 1}}}, ("'epz'", "did you mean 'eps'?")),
    ({"training": {"optimiser": {"name": "adam", "eps": -1}}}, ("optimiser.eps", "got -1")),
    ({"training": {"optimiser": {"name": "sgd", "eps": 1}}}, ("'eps'", "name, momentum")),
    ({"training": {"inference": {"scheme": "newton"}}}, ("inference.scheme", "'newton'")),
    ({"training": {"inference": {"steps": "dept"}}}, ("inference.steps", "'depth'", "'dept'")),
    ({"training": {"inference": {"steps": 0}}}, ("inference.steps", "integer from 1", "0")),
    ({"training": {"inference": 5}}, ("training.inference must name one inference scheme", "5")),
    ({"training": {"inference": {"scheme": "exact"}}}, ("tune.activity_lr", "left out", "exact")),
    (
        {"training": {"inference": {"scheme": "equilibrium", "iterations": 1}}},
        ("tune.activity_lr must be left out: inference equilibrium has no activity learning rate",),
    ),
    (
        {"training": {"inference": {"scheme": "equilibrium", "iterations": 0}}},
        ("training.inference.iterations must be an integer from 1 to 100,000,000, got 0",),
    ),
    (
        {"training": {"inference": {"scheme": "adaptive_flow", "solver": "euler"}}},
        ("training.inference: adaptive_flow needs", "estimates its error", "'euler'"),
    ),
    (
        {"training": {"inference": {"scheme": "optax", "steps": 3, "optimiser": "sgdd"}}},
        ("training.inference", "'sgdd'", "did you mean 'sgd'?"),
    ),
    ({"training": {"start": "nomal"}}, ("start.name", "'nomal'", "did you mean 'normal'?")),
    (
        {"training": {"start": {"name": "normal", "scale": 0}}},
        ("start.scale", "number from 1e-30", "got 0"),
    ),
    ({"training": {"penalties": "weight_decay"}}, ("penalties must be a list", "'weight_decay'")),
    ({"training": {"penalties": [3]}}, ("penalties[0] must name one penalty", "3")),
    (
        {"training": {"penalties": [{"name": "weight_decay", "strength": "much"}]}},
        ("training.penalties[0].strength", "number", "'much'"),
    ),
    (
        {"training": {"probes": ["gradient_cosin"]}},
        ("training.probes[0]", "'gradient_cosin'", "did you mean 'gradient_cosine'?"),
    ),
    ({"variants": ["bp"], "training": {"start": "normal"}}, ("training.start", "bp infers no")),
    ({"variants": ["bp"], "network": {"activity_decay": 1}}, ("activity_decay", "bp infers no")),
    ({"network": {"skip": 0}}, ("network.skip", "integer from 1", "0")),
    ({"network": {"bias": 1}}, ("network.bias", "true or false", "1")),
    ({"network": {"activity_decay": -1}}, ("network.activity_decay", "number from 0", "-1")),
    ({"network": {"output_precision": 0}}, ("network.output_precision", "number", "0")),
    ({"tune": {"width": 0}}, ("tune.width", "integer from 1 to 65,536", "got 0")),
    ({"tune": {"depth": -3}}, ("tune.depth", "integer from 1 to 4,096", "got -3")),
    ({"tune": {"width": "8"}}, ("tune.width", "integer", "got '8'")),
    ({"tune": {"weight_lr": []}}, ("tune.weight_lr", "1 to 1,000 entries", "0")),
    ({"tune": {"weight_lr": None}}, ("tune.weight_lr", "list of learning rates", "None")),
    ({"tune": {"weight_lr": 0.1}}, ("tune.weight_lr", "list of learning rates", "0.1")),
    ({"tune": {"weight_lr": [0.1, -0.1]}}, ("tune.weight_lr[1]", "1e-30 to 1e+30", "-0.1")),
    ({"tune": {"weight_lr": [0.1, "1e-3"]}}, ("tune.weight_lr[1]", "number", "'1e-3'")),
    ({"tune": {"weight_lr": [0.1, float("nan")]}}, ("tune.weight_lr[1]", "number", "nan")),
    ({"tune": {"weight_lr": [0.1, float("inf")]}}, ("tune.weight_lr[1]", "number", "inf")),
    ({"tune": {"weight_lr": [0.1, 0.5, 0.1]}}, ("tune.weight_lr[2]", "twice", "0.1")),
    ({"tune": {"activity_lr": None}}, ("tune.activity_lr is missing", "mupc")),
    ({"tune": {"activity_lr": "spectrl"}}, ("tune.activity_lr", "'spectral'", "got 'spectrl'")),
    ({"tune": {"activity_lr": {"spectral": 0}}}, ("tune.activity_lr.spectral", "1e-06", "got 0")),
    (
        {"tune": {"activity_lr": {"spectral": 1, "remeasure": -1}}},
        ("tune.activity_lr.remeasure", "integer from 0", "got -1"),
    ),
    (
        {"tune": {"activity_lr": {"spectral": 1, "remeasur": 9}}},
        ("tune.activity_lr", "'remeasur'", "mean 'remeasure'?"),
    ),
    ({"tune": {"activity_lr": {"remeasure": 9}}}, ("tune.activity_lr", "must have", "'spectral'")),
    (
        {
            "variants": ["equilibrium_propagation"],
            "network": {"residual": False},
            "tune": {"activity_lr": "spectral"},
        },
        ("equilibrium_propagation cannot be trained: a spectral activity_lr needs predictive",),
    ),
    (
        {"tune": {"activity_lr": "spectral", "skip_unstable": True}},
        ("tune.skip_unstable must be false", "mupc"),
    ),
    ({"tune": {"activity_lr": [True]}}, ("tune.activity_lr[0]", "number", "True")),
    ({"tune": {**LISTS, "activity_lr": {"low": 1}}}, ("tune.activity_lr", "'high'")),
    ({"tune": {**LISTS, "activity_lr": {**RANGE, "hihg": 2}}}, ("'hihg'", "mean 'high'?")),
    ({"tune": {**LISTS, "weight_lr": {"low": 1, "high": 1}}}, ("weight_lr.high", "above low (1)")),
    ({"tune": {**LISTS, "weight_lr": {"low": 0, "high": 1}}}, ("weight_lr.low", "1e-30", "0")),
    ({"tune": {**LISTS, "weight_lr": {**RANGE, "log": 1}}}, ("weight_lr.log", "true or false")),
    ({"tune": {"weight_lr": RANGE}}, ("tune.weight_lr", "grid", "tpe, random, qmc, cmaes")),
    ({"tune": {"weight_lr": list(range(1, 1002))}}, ("weight_lr", "1 to 1,000", "1,001")),
    (
        {"tune": {"weight_lr": list(range(1, 502)), "activity_lr": list(range(1, 22))}},
        ("mupc", "10,000 cells", "10,521"),
    ),
    ({"tune": {"sampler": "gird"}}, ("tune.sampler", "'gird'", "did you mean 'grid'?")),
    ({"tune": {"sampler": "tpe"}}, ("tune.trials is missing", "tpe")),
    ({"tune": {"trials": 5}}, ("tune.trials", "left out", "grid", "5")),
    ({"tune": {"in_flight": 5}}, ("tune.in_flight", "left out", "grid", "5")),
    ({"tune": {"sampler": "tpe", "trials": 10**5}}, ("tune.trials", "10,000", "100,000")),
    ({"tune": {"sampler": "tpe", "trials": 0}}, ("tune.trials", "integer from 1", "0")),
    ({"tune": {"seeds": 0}}, ("tune.seeds", "integer from 1", "0")),
    ({"tune": {"seeds": [1, 1]}}, ("tune.seeds[1]", "twice", "1")),
    ({"tune": {"seeds": [-1]}}, ("tune.seeds[0]", "integer from 0", "-1")),
    ({"tune": {"seeds": [2**32]}}, ("tune.seeds[0]", "4,294,967,295")),
    ({"transfer": {"depths": None}}, ("depths, widths or targets", "none")),
    ({"transfer": {"depths": []}}, ("transfer.depths", "1 to 1,000 entries", "0")),
    ({"transfer": {"depths": 16}}, ("transfer.depths must be a list", "16")),
    ({"transfer": {"depths": [4, 0]}}, ("transfer.depths[1]", "integer from 1", "0")),
    ({"transfer": {"depths": [4, 4]}}, ("transfer.depths[1]", "twice", "4")),
    ({"transfer": {"widths": [4, 10**9]}}, ("transfer.widths[1]", "65,536", "1000000000")),
    ({"transfer": {"targets": [{"width": 1, "depth": 1}]}}, ("transfer.depths", "left out")),
    ({"transfer": {"depths": None, "targets": [{"width": 1}]}}, ("targets[0].depth is missing",)),
    ({"transfer": {"depths": None, "targets": [3]}}, ("transfer.targets[0]", "mapping", "3")),
    ({"transfer": {"neighbourhood": -1}}, ("transfer.neighbourhood", "'all'", "-1")),
    ({"transfer": {"neighbourhood": "al"}}, ("transfer.neighbourhood", "'all'", "'al'")),
    (
        {"tune": {**LISTS, "weight_lr": RANGE}, "transfer": {"neighbourhood": "all"}},
        ("tune.weight_lr", "list", "'all'"),
    ),
    ({"transfer": {"tolerance": 0}}, ("transfer.tolerance", "number", "0")),
    ({"transfer": []}, ("transfer must be a mapping", "[]")),
]


@pytest.mark.parametrize(("changes", "fragments"), CASES, ids=[f[0] for _, f in CASES])
def test_problem_is_one_sentence(changes: dict[str, Any], fragments: tuple[str, ...]) -> None:
    values = spec(**changes) | ({"transfer": []} if changes.get("transfer") == [] else {})
    with pytest.raises(SpecError) as caught:
        Experiment.from_dict(values)
    assert len(caught.value.sentences) == 1
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for fragment in fragments:
        assert fragment in message


# Changes to a valid spec, and its one error.
SENTENCES: list[tuple[dict[str, Any], str]] = [
    (
        {"training": {"inference": {"scheme": "halving", "steps": 4}}},
        "training.inference.steps is unknown: halving has no option 'steps', choose from scheme, "
        "max_steps, halvings; did you mean 'max_steps'?",
    ),
    (
        {"training": {"inference": {"scheme": "error_based"}}},
        "training.inference.steps is missing: error_based has the options steps",
    ),
    (
        {"training": {"inference": "exact"}},
        "tune.activity_lr must be left out: inference exact has no activity learning rate",
    ),
    (
        {"training": {"start": {"name": "forward", "scale": 1}}},
        "training.start.scale is unknown: forward has no option 'scale', choose from name",
    ),
    (
        {"training": {"penalties": ["weight_decay"]}},
        "training.penalties[0].strength is missing: weight_decay has the options strength",
    ),
    (
        {"variants": ["mupc", "orthogonal"]},
        "orthogonal cannot be trained: orthogonal weights need a network without skip connections: "
        "network.residual must be false",
    ),
    (
        {"variants": ["mupc", "sp"], "network": {"residual": False, "skip": 2}},
        "mupc and sp cannot be trained: skip 2 needs residual, which is false",
    ),
    (
        {
            "variants": ["equilibrium_propagation"],
            "network": {"residual": False},
            "training": {"start": "normal"},
        },
        "equilibrium_propagation cannot be trained: equilibrium propagation begins with a forward "
        "pass: training.start must be left out",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), SENTENCES)
def test_sentence_states_the_rule(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        Experiment.from_dict(spec(**changes))
    assert caught.value.sentences == (sentence,)


@pytest.mark.parametrize("why", ["variant", "start"])
def test_rejects_settings_that_inference_without_a_beta_ignores(why: str) -> None:
    values = spec(network={"activation": "linear"}, training={"inference": "exact"})
    del values["tune"]["activity_lr"]
    if why == "variant":
        values["variants"] = [{"name": "mupc", "activity_lr": [1]}]
        sentence = (
            "variants[0].activity_lr must be left out: inference exact has no activity learning "
            "rate"
        )
    else:
        values["training"]["start"] = "normal"
        sentence = (
            "training.start must be left out: inference exact does not depend on where it begins"
        )
    with pytest.raises(SpecError) as caught:
        Experiment.from_dict(values)
    assert caught.value.sentences == (sentence,)


@pytest.mark.parametrize("key", ["name", "dataset", "training", "tune", "transfer"])
def test_names_a_missing_section(key: str) -> None:
    values = spec()
    del values[key]
    with pytest.raises(SpecError, match=f"^{key} is missing: give "):
        Experiment.from_dict(values)


@pytest.mark.parametrize("value", [None, [], "name: x", 3])
def test_rejects_a_spec_that_is_no_mapping(value: Any) -> None:
    with pytest.raises(SpecError, match=r"^a spec must be a mapping"):
        Experiment.from_dict(value)


def test_reports_every_problem() -> None:
    values = spec(dataset="minst", tune={"width": 0}, transfer={"dephts": [3]})
    with pytest.raises(SpecError) as caught:
        Experiment.from_dict(values)
    assert len(caught.value.sentences) == 3

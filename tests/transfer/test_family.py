"""Every scheme, start, penalty and variant of `pccore`, named in a spec."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from transfer_fakes import FormulaPool, TrainingPool, spec

import pccore
import results
from results.shapes import Shape
from transfer import VARIANTS, Experiment, SpecError, run
from transfer.engine.plan import Plan
from transfer.engine.rebuilding import run_of

SCHEMES: dict[str, dict[str, Any]] = {
    "gradient_descent": {"steps": 3},
    "halving": {"max_steps": 9, "halvings": 1},
    "to_convergence": {"tolerance": 0.01},
    "optax": {"steps": "depth", "optimiser": "adamw"},
    "gradient_flow": {"steps": 4, "solver": "tsit5", "tolerance": 0.1},
    "adaptive_flow": {"time": 30, "rtol": 0.1},
    "exact": {"tolerance": 0.1},
    "error_based": {"steps": "depth"},
    "equilibrium": {"iterations": 2, "direct_outputs": 5},
    "nesterov": {"steps": "depth"},
    "augmented_lagrangian": {"steps": "depth"},
    "langevin": {"steps": "depth", "temperature": 0.1},
}


def experiment(**changes: Any) -> Experiment:
    """Return a valid spec with these changes, after checking that it round-trips."""
    values = spec(**changes)
    values["tune"] = {k: v for k, v in values["tune"].items() if v is not None}
    read = Experiment.from_dict(values)
    assert Experiment.from_yaml(read.to_yaml()) == Experiment.from_dict(read.to_dict()) == read
    return read


def plan(read: Experiment) -> Plan:
    return Plan(read, pccore.data.info(read.dataset), digest="0" * 64)


def without_beta(**changes: Any) -> dict[str, Any]:
    """Return a spec with exact inference, which needs a linear network."""
    linear = {"activation": "linear"}
    return {
        "network": linear,
        "training": {"inference": "exact"},
        "tune": {"activity_lr": None},
    } | (changes)


def test_cases_cover_every_scheme() -> None:
    assert set(SCHEMES) == set(pccore.INFERENCE)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_builds_a_scheme_with_its_options(scheme: str) -> None:
    given = {"scheme": scheme, **SCHEMES[scheme]}
    rates = {} if pccore.INFERENCE[scheme].uses_activity_lr else {"activity_lr": None}
    read = experiment(training={"inference": given}, tune=rates)
    options = {k: 16 if v == "depth" else v for k, v in SCHEMES[scheme].items()}
    assert read.training.inference.build(16) == pccore.INFERENCE[scheme](**options)


@pytest.mark.parametrize(("multiple", "steps"), [(2, 32), (0.5, 8), (0.01, 1)])
@pytest.mark.parametrize("scheme", ["gradient_descent", "nesterov", "augmented_lagrangian"])
def test_steps_follow_the_depth(scheme: str, multiple: float, steps: int) -> None:
    given = {"scheme": scheme, "steps": {"depth": multiple}}
    read = experiment(training={"inference": given})
    assert read.training.inference.build(16) == pccore.INFERENCE[scheme](steps)


@pytest.mark.parametrize("given", [0, -1, 101, "2", None])
def test_refuses_other_multiples_of_the_depth(given: object) -> None:
    with pytest.raises(SpecError, match=r"training\.inference\.steps\.depth"):
        experiment(training={"inference": {"scheme": "nesterov", "steps": {"depth": given}}})


def test_default_is_gradient_descent_with_as_many_steps_as_layers() -> None:
    """Thesis C.4. A spec that leaves out the scheme or the steps means the same."""
    for given in ({}, "gradient_descent", {"scheme": "gradient_descent"}, {"steps": "depth"}):
        read = experiment(training={"inference": given})
        assert read.training.inference == experiment().training.inference
        assert read.training.inference.build(16) == pccore.GradientDescent(16)


def test_builds_starts_and_penalties_with_their_options() -> None:
    decay = {"name": "weight_decay", "strength": 1e-4}
    training = {"start": {"name": "normal", "scale": 0.1}, "penalties": [decay]}
    config = plan(read := experiment(training=training)).config(plan(read).arms[0], read.targets[0])
    assert config.penalties == (pccore.WeightDecay(1e-4),)
    normal = pccore.NormalStart(0.1)
    assert config.rule == pccore.PredictiveCoding(pccore.GradientDescent(4), normal)
    assert experiment(training={"start": "normal"}).training.start == pccore.NormalStart()


def test_network_settings_reach_the_network() -> None:
    network = {"skip": 2, "bias": True, "activity_decay": 0.1, "output_precision": 2}
    job = plan(experiment(network=network, variants=["mupc", "bp"]))
    mupc, bp = (job.config(arm, job.experiment.targets[0]).network for arm in job.arms)
    assert (mupc.skip, mupc.bias, mupc.activity_decay) == (2, True, 0.1)
    assert mupc.precisions == (1, 1, 1, 1, 2)
    # Without an energy they would be ignored, and make other ids of the same runs.
    assert (bp.skip, bp.bias, bp.activity_decay, bp.precisions) == (2, True, 0, ())


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - {"pc"}))
def test_variant_builds_its_network_and_rule(name: str) -> None:
    read = experiment(variants=[name], network={"residual": False, "activation": "tanh"})
    job = plan(read)
    job.check()
    config = job.config(job.arms[0], read.targets[0])
    expected = {
        "bp": (pccore.NetworkConfig, pccore.Backpropagation),
        "trust_region": (pccore.NetworkConfig, pccore.TrustRegionNewton),
        "hybrid": (pccore.HybridConfig, pccore.PredictiveCoding),
        "bidirectional": (pccore.BidirectionalConfig, pccore.PredictiveCoding),
        "equilibrium_propagation": (pccore.HopfieldConfig, pccore.EquilibriumPropagation),
    }
    rest = (pccore.NetworkConfig, pccore.PredictiveCoding)
    assert (type(config.network), type(config.rule)) == expected.get(name, rest)
    (run_of_it, *_) = job.runs(job.arms[0], read.targets[0], job.arms[0].space.cells)
    named = name if name in pccore.PARAMETERISATIONS else run_of_it.network.parameterisation
    assert run_of_it.network.parameterisation == named
    assert (run_of_it.network.width, run_of_it.network.depth) == (8, 4)


@pytest.mark.parametrize(
    ("hidden", "output", "expected"),
    [
        (1, 1, ()),
        (1, 2, (1, 1, 1, 1, 2)),
        (0.5, 1, (0.5, 0.5, 0.5, 0.5, 1)),
        ({"first": 8, "last": 1}, 3, (8, 4, 2, 1, 3)),
    ],
)
def test_precisions_of_four_hidden_layers(
    hidden: object, output: float, expected: tuple[float, ...]
) -> None:
    read = experiment(network={"hidden_precision": hidden, "output_precision": output})
    job = plan(read)
    (config,) = (job.config(arm, Shape(8, 4)).network for arm in job.arms)
    assert isinstance(config, pccore.NetworkConfig)
    assert config.precisions == pytest.approx(expected)


def test_initial_weights_near_the_origin() -> None:
    job = plan(experiment(network={"initial_std": 0.05}))
    (run_of_it, *_) = job.runs(job.arms[0], Shape(8, 4), job.arms[0].space.cells)
    assert run_of_it.network.initial_std == 0.05
    assert run_of_it.determinants["network_options"] == '{"initial_std": 0.05}'


WEIGHTS_FIRST = {"order": "weights_first", "activation": ["linear", "tanh"]}


def test_order_reaches_the_network_and_the_id_where_it_matters() -> None:
    """Linear networks are the same in both orders, so that their runs are too."""
    usual = {"activation": ["linear", "tanh"]}
    linear, tanh, same, known = (
        job.runs(arm, Shape(8, 4), arm.space.cells)[0]
        for job in (plan(experiment(network=given)) for given in (WEIGHTS_FIRST, usual))
        for arm in job.arms
    )
    assert (linear.network.order, tanh.network.order) == ("weights_first", "weights_first")
    assert tanh.determinants["network_options"] == '{"order": "weights_first"}'
    assert "network_options" not in linear.determinants | known.determinants
    assert linear.run_id == same.run_id
    assert tanh.run_id != known.run_id
    assert run_of(tanh.determinants, 64, 10).config == tanh.config


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "exact"])
def test_schemes_infer_with_the_weights_first(scheme: str) -> None:
    """All but the exact solution, which is of linear networks."""
    given = {"scheme": scheme, **SCHEMES[scheme]}
    rates = {} if pccore.INFERENCE[scheme].uses_activity_lr else {"activity_lr": None}
    network = WEIGHTS_FIRST | {"bias": True, "output_precision": 2}
    plan(experiment(network=network, training={"inference": given}, tune=rates)).check()


@pytest.mark.parametrize("name", ["sp", "ntp", "bp", "orthogonal"])
def test_variants_of_one_stack_take_the_weights_first(name: str) -> None:
    network = WEIGHTS_FIRST | {"residual": False}
    plan(experiment(network=network, variants=[name])).check()


def test_spectral_rates_and_unsupervised_learning_with_the_weights_first() -> None:
    spectral = {"tune": {"activity_lr": "spectral"}}
    unsupervised = {"mode": {"name": "unsupervised", "latents": 3}}
    for changes in (spectral, unsupervised):
        plan(experiment(network=WEIGHTS_FIRST, **changes)).check()


CONVOLUTIONAL = {"family": {"name": "convolutional", "patch": 2}}


def test_convolutional_family_has_a_network_for_every_shape() -> None:
    read = experiment(network=CONVOLUTIONAL, variants=["mupc", "sp", "bp"])
    job = plan(read)
    job.check()
    for arm, shape in product(job.arms, (read.tune.shape, *read.targets)):
        network = job.config(arm, shape).network
        assert isinstance(network, pccore.ConvolutionalStackConfig)
        assert (network.image, network.patch, network.kernel) == ((1, 8, 8), 2, 3)
        assert (network.width, network.depth) == (shape.width, shape.depth)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"network": CONVOLUTIONAL, "dataset": "mnist1d"},
            "mupc cannot be trained: network.family 'convolutional' needs square images of 1 or 3 "
            "channels; samples of 40 numbers are none",
        ),
        (
            {"network": {"family": {"name": "convolutional", "patch": 3}}},
            "mupc cannot be trained: patch must divide the 8 rows and 8 columns of the image, got "
            "3",
        ),
        (
            {"variants": ["trust_region"], "transfer": {"widths": [64]}},
            "trust_region cannot be trained: trust-region Newton inverts a Hessian of at most "
            "3,000 weights, and 4 layers of width 64 have 17,024",
        ),
        (
            {"network": CONVOLUTIONAL, "variants": ["hybrid"]},
            "hybrid cannot be trained: its layers are fully connected: network.family must be "
            "'stacked'",
        ),
        (
            {"network": CONVOLUTIONAL | {"order": "weights_first"}},
            "network.order must be left out: the family convolutional has no parameter order",
        ),
        (
            {"network": {"order": "weights_first"}, "variants": ["hybrid"]},
            "hybrid cannot be trained: amortiser and generator need the order activation_first, "
            "got weights_first",
        ),
        (
            {
                "network": {"order": "weights_first", "residual": False},
                "variants": ["equilibrium_propagation"],
            },
            "equilibrium_propagation cannot be trained: equilibrium propagation needs the order "
            "activation_first, got weights_first",
        ),
        (
            {
                "network": {"residual": False},
                "training": {"inference": {"scheme": "langevin", "steps": 2}},
                "variants": ["equilibrium_propagation"],
            },
            "equilibrium_propagation cannot be trained: equilibrium propagation contrasts two "
            "equilibria, which noise does not reach: it needs inference without noise, got "
            "Langevin(steps=2, temperature=1.0)",
        ),
        (
            {"network": {"order": "weights_first", "skip": 2}},
            "mupc cannot be trained: order weights_first needs skip 1, got 2",
        ),
        (
            {"network": {"order": "weights_first", "activation": "linear"}},
            "network.order must be left out: linear networks are the same in both orders",
        ),
    ],
    ids=[
        *("not square", "patch", "trust region", "hybrid"),
        *("order of kernels", "order of mirrors", "order of symmetric weights"),
        "equilibria with noise",
        *("order and skip", "order of linear layers"),
    ],
)
def test_rejects_what_the_family_has_no_network_for(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        experiment(**changes)
    assert str(caught.value) == sentence


def test_every_parameterisation_is_a_variant() -> None:
    assert set(pccore.PARAMETERISATIONS) <= set(VARIANTS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            without_beta(network={"activation": "tanh"}),
            "mupc cannot be trained: exact inference needs activation 'linear', got 'tanh'",
        ),
        (
            {
                "variants": ["bidirectional"],
                "training": {"inference": {"scheme": "error_based", "steps": 2}},
            },
            "bidirectional cannot be trained: error-based inference needs a relaxation with "
            "departure_of, errors_of and error_gradient, got BidirectionalRelaxation",
        ),
        (
            {
                "network": {"activity_decay": 0.1},
                "training": {"inference": "equilibrium"},
                "tune": {"activity_lr": None},
            },
            "mupc cannot be trained: Gauss-Newton inference (equilibrium) needs activity_decay 0, "
            "got 0.1",
        ),
    ],
    ids=["exact", "error_based", "equilibrium"],
)
def test_check_finds_what_only_compiling_would_find(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        plan(experiment(**changes)).check()
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": ["hybrid", "bidirectional", "ntp"]},
        {"network": CONVOLUTIONAL},
        {"tune": {"activity_lr": "spectral"}},
        {"mode": {"name": "unsupervised", "latents": 3}},
        {"mode": "generative", "training": {"start": "normal"}},
    ],
    ids=["variants", "kernels", "spectral", "unsupervised", "normal start"],
)
def test_langevin_inference_of_other_networks_and_modes(changes: dict[str, Any]) -> None:
    training = {"inference": {"scheme": "langevin", "steps": 2}} | changes.get("training", {})
    plan(experiment(**changes | {"training": training})).check()


TRAINED: dict[str, dict[str, Any]] = {
    "error_based": {"training": {"inference": {"scheme": "error_based", "steps": 2}}},
    "equilibrium": {"training": {"inference": "equilibrium"}, "tune": {"activity_lr": None}},
    "exact": without_beta(),
    "hybrid": {"variants": ["hybrid"]},
    "convolutional": {"network": CONVOLUTIONAL},
    "langevin": {
        "training": {"inference": {"scheme": "langevin", "steps": 2, "temperature": 1e-3}}
    },
    "weights first": {"network": WEIGHTS_FIRST | {"activation": "tanh"}},
    "near the origin": {"network": {"initial_std": 0.05, "residual": False}},
    "ntp": {"variants": ["ntp"], "network": {"activation": "tanh"}},
}


WITHOUT_BETA = ("equilibrium", "exact")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "convolutional" else [pytest.mark.slow])
        for name in TRAINED
    ],
)
def test_tunes_and_transfers(name: str, tmp_path: Path) -> None:
    """Every run of real networks ends, is in the ledger once, and is judged."""
    changes = TRAINED[name]
    lasting = {"steps": 60, "eval_every": 60} | changes.get("training", {})
    small = {"seeds": 2, "weight_lr": [0.05, 0.1], "activity_lr": [5, 10]}
    tune = small | changes.get("tune", {})
    near = {"depths": [3], "neighbourhood": 0}
    read = experiment(**changes | {"training": lasting, "tune": tune, "transfer": near})
    ledger = results.open(tmp_path, create=True)
    result = run(read, ledger, TrainingPool())
    cells = 2 if name in WITHOUT_BETA else 4
    rows = ledger.runs()
    assert len(rows) == (cells + 1) * 2
    assert rows["outcome"].isin(["trained", "at_chance"]).all()
    assert rows["activity_lr"].isna().all() == (name in WITHOUT_BETA)
    assert set(rows["inference"]) == {name if name in pccore.INFERENCE else "gradient_descent"}
    (verdict,) = result.verdicts
    (optimum,) = result.optima.values()
    assert optimum.cell is not None
    assert (optimum.cell.activity_lr is None) == (name in WITHOUT_BETA)
    assert verdict["verdict"] in ("inconclusive", "edge")
    assert verdict["runs_failed"] == 0
    assert 0 < verdict["loss"] < 0.5  # that of predicting zero is 1/2
    again = FormulaPool(lambda *_: pytest.fail("nothing is left to train"))
    assert run(read, ledger, again).optima == result.optima

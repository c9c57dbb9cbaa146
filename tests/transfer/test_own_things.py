"""Things of users in specs: found, checked, identified by their code, and written back."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import own_module
import pytest
import yaml
from transfer_fakes import spec

import pccore
import transfer
from pccore.own import Own
from transfer import Experiment, Run, SpecError
from transfer.engine.plan import Plan
from transfer.spec.building import training_config

SOURCE = Path(own_module.__file__)
DIGEST = r"@[0-9a-f]{12}"


def written(folder: Path, text: str | None = None, module: str = "mine", **changes: object) -> Path:
    """A spec in a folder, and beside it a module with this text or that of own_module."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(SOURCE.read_text() if text is None else text)
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec(**changes)))
    return path


def run_id(experiment: Experiment) -> str:
    """The id of one run of an experiment."""
    plan = Plan(experiment, pccore.data.info(experiment.dataset), digest="0" * 64)
    arm = plan.arms[0]
    return plan.runs(arm, experiment.tune.shape, arm.space.cells[:1])[0].run_id


PLACES: dict[str, dict[str, object]] = {
    "swish": {"network": {"activation": "mine:swish"}},
    "layers": {"network": {"family": {"name": "mine:layers", "gain": 0.5}}, "variants": ["pc"]},
    "module": {"network": "mine:module", "variants": ["bp"]},
    "Halves": {"training": {"inference": {"scheme": "mine:Halves", "steps": {"depth": 2}}}},
    "Away": {"training": {"start": {"name": "mine:Away", "distance": -0.2}}},
    "Smallness": {"training": {"penalties": [{"name": "mine:Smallness", "strength": 0.1}]}},
    "SignOfBackpropagation": {"variants": ["mine:SignOfBackpropagation"]},
    "clipped_lion": {"training": {"optimiser": {"name": "mine:clipped_lion", "b1": 0.8}}},
    "Doubled": {"training": {"optimiser": "mine:Doubled"}},
    "Halved": {"variants": ["mupc", {"name": "mine:Halved", "weight_lr": [0.1]}]},
    "quasi_random": {"tune": {"sampler": "mine:quasi_random", "trials": 2}},
}


@pytest.mark.parametrize("thing", PLACES)
def test_a_module_beside_the_spec_is_read_planned_and_written(tmp_path: Path, thing: str) -> None:
    path = written(tmp_path, **PLACES[thing])
    experiment = transfer.load(path)
    (name,) = experiment.own
    assert re.fullmatch(thing + DIGEST, name)
    Plan(experiment, pccore.data.info("digits"), digest="0" * 64).check()
    assert f"mine:{name}" in experiment.to_yaml()
    path.write_text(experiment.to_yaml())
    again = transfer.load(path)
    assert again == experiment
    assert again.own == experiment.own


@pytest.mark.parametrize("thing", PLACES)
def test_objects_take_the_places_of_names(thing: str) -> None:
    def replaced(value: object) -> object:
        if isinstance(value, dict):
            return {key: replaced(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [replaced(entry) for entry in value]
        return getattr(own_module, thing) if value == f"mine:{thing}" else value

    experiment = Experiment.from_dict(spec(**replaced(PLACES[thing])))  # type: ignore[arg-type]
    (name,) = experiment.own
    assert re.fullmatch(thing + DIGEST, name)
    assert name.reference == f"own_module:{name}"
    assert Experiment.from_dict(experiment.to_dict()) == experiment


def test_instances_take_the_places_of_names_with_options() -> None:
    training = {
        "optimiser": own_module.Doubled(3.0),
        "inference": own_module.Halves(6),
        "start": own_module.Away(0.5),
        "penalties": [own_module.Smallness(0.1), pccore.WeightDecay(1e-3)],
    }
    experiment = Experiment.from_dict(spec(training=training))
    config = training_config(experiment, experiment.variants[0], "relu", experiment.tune.shape)
    assert config.optimiser == own_module.Doubled(3.0)
    assert config.rule == pccore.PredictiveCoding(own_module.Halves(6), own_module.Away(0.5))
    assert config.penalties == tuple(training["penalties"])


def test_registered_things_given_in_python_have_their_names() -> None:
    given = spec(
        network={"activation": [pccore.ACTIVATIONS["tanh"], "relu"]},
        training={
            "optimiser": {"name": optax.adamw, "weight_decay": 0.1},
            "inference": {"scheme": pccore.GradientDescent, "steps": 3},
            "penalties": [{"name": pccore.WeightDecay, "strength": 0.1}],
        },
    )
    experiment = Experiment.from_dict(given)
    assert experiment.own == ()
    assert experiment.network.activation == ("tanh", "relu")
    assert experiment.to_dict()["training"]["optimiser"]["name"] == "adamw"
    assert experiment.training.inference.scheme == "gradient_descent"


def test_a_transformation_with_its_rate_is_no_optimiser() -> None:
    with pytest.raises(SpecError, match=r"must be a function of learning_rate .* not an object of"):
        Experiment.from_dict(spec(training={"optimiser": optax.adam(1e-3)}))


CODE = "def phi(z):\n    return z / (1 + abs(z))\n"


@pytest.fixture
def usual(tmp_path: Path) -> str:
    changes = {"network": {"activation": "mine:phi"}}
    return run_id(transfer.load(written(tmp_path / "usual", CODE, **changes)))


def test_same_code_in_another_file_with_comments_has_the_same_run_ids(
    tmp_path: Path, usual: str
) -> None:
    text = f'"""Another file."""\nimport os\n\n# softsign\n{CODE}'
    path = written(tmp_path / "b", text, "other", network={"activation": "other:phi"})
    assert run_id(transfer.load(path)) == usual


def test_other_code_of_the_same_name_has_other_run_ids(tmp_path: Path, usual: str) -> None:
    """In one process, as of two specs beside modules of one name."""
    path = written(tmp_path / "c", CODE.replace("1 +", "2 +"), network={"activation": "mine:phi"})
    experiment = transfer.load(path)
    assert run_id(experiment) != usual
    (phi,) = experiment.own
    assert pccore.ACTIVATIONS[phi].phi(jnp.ones(())) == pytest.approx(1 / 3)


def test_the_module_beside_a_spec_counts_whoever_imported_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text("")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with monkeypatch.context() as path:
        path.syspath_prepend(str(elsewhere))
        importlib.import_module("mine")
    here = tmp_path / "here"
    assert transfer.load(written(here, **PLACES["swish"])).own


def test_an_edited_module_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("SCALE = 1.0\n")
    text = "from helpers import SCALE\n\n\ndef phi(z):\n    return SCALE * z\n"
    path = written(tmp_path, text, network={"activation": "mine:phi"})
    before = transfer.load(path)
    assert transfer.load(path) == before
    (tmp_path / "helpers.py").write_text("SCALE = 2.0\n")
    after = transfer.load(path)
    assert run_id(after) != run_id(before)
    assert [float(pccore.ACTIVATIONS[e.own[0]].phi(jnp.ones(()))) for e in (before, after)] == [
        1.0,
        2.0,
    ]


def test_a_fixed_digest_refuses_other_code(tmp_path: Path) -> None:
    path = written(tmp_path, CODE, network={"activation": "mine:phi"})
    path.write_text(transfer.load(path).to_yaml())
    transfer.load(path)
    (tmp_path / "mine.py").write_text(CODE.replace("1 +", "3 +"))
    with pytest.raises(SpecError, match=r"line \d+: network.activation: mine:phi is not what it"):
        transfer.load(path)


def test_built_in_things_have_the_ids_that_they_had_as_objects() -> None:
    named = spec(training={"optimiser": {"name": "sgd", "momentum": 0.5}})
    given = spec(training={"optimiser": pccore.SGD(0.5), "inference": pccore.GradientDescent(2)})
    assert "clip" not in str(Experiment.from_dict(named).to_dict())
    config = Experiment.from_dict(given).training
    assert config.optimiser == pccore.SGD(momentum=0.5)
    assert config.inference.build(9) == pccore.GradientDescent(2)


def test_determinants_have_names_with_digests_and_no_reference(tmp_path: Path) -> None:
    experiment = transfer.load(written(tmp_path, **PLACES["clipped_lion"]))
    plan = Plan(experiment, pccore.data.info("digits"), digest="0" * 64)
    arm = plan.arms[0]
    (run, *_) = plan.runs(arm, experiment.tune.shape, arm.space.cells[:1])
    assert isinstance(run, Run)
    assert type(run.determinants["optimiser"]) is str
    assert run.determinants["optimiser"] == experiment.own[0]
    assert run.determinants["optimiser_options"] == '{"b1": 0.8, "max_norm": 1.0}'
    assert "mine" not in str(run.determinants)


def test_likeness_is_no_part_of_run_ids_and_chooses_the_law(tmp_path: Path) -> None:
    def law(**more: str) -> Experiment:
        optimiser = {"name": "mine:clipped_lion", **more}
        rules = {"depths": [4], "rules": "depth_mup"}
        return transfer.load(written(tmp_path, training={"optimiser": optimiser}, transfer=rules))

    with pytest.raises(SpecError, match="write like: adam if they do not grow"):
        law()
    adam, sgd = law(like="adam"), law(like="sgd")
    assert run_id(adam) == run_id(sgd)
    rule = adam.transfer.rules[0]
    assert rule.powers[adam.training.optimiser.like].depth == -0.5
    assert rule.powers[sgd.training.optimiser.like].width == 1.0


def test_half_the_steps_twice_learn_like_all_steps() -> None:
    """An own scheme and activation in the learning rule, against the scheme that it equals."""
    config = pccore.NetworkConfig(5, 3, width=6, depth=2, activation=own_module.swish)
    keys = jax.random.split(jax.random.key(0), 3)
    network = config.build(keys[0])
    x, y = jax.random.normal(keys[1], (4, 5)), jax.random.normal(keys[2], (4, 3))

    def gradients(scheme: pccore.InferenceScheme) -> list[jax.Array]:
        learn = jax.jit(pccore.PredictiveCoding(scheme).gradients)
        return jax.tree.leaves(learn(network, x, y, jnp.ones(()), keys[0])[1])

    both = zip(gradients(own_module.Halves(4)), gradients(pccore.GradientDescent(4)), strict=True)
    for one, other in both:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


ACTIVATION = {"network": {"activation": "mine:phi"}}
PHI = "import jax\nimport jax.numpy as jnp\nimport numpy as np\n\n\ndef phi(z):\n    return {}\n"
ERRORS = [
    (None, {"network": {"activation": "mime:swish"}}, "no module 'mime' .*; did you mean 'mine'?"),
    (None, {"network": {"activation": "mine:swihs"}}, "no 'swihs'; did you mean 'swish'?"),
    (None, {"network": {"activation": "../mine:phi"}}, "must be module:attribute"),
    ("import nonsense\n", ACTIVATION, "'mine' cannot be imported: No module named 'nonsense'"),
    ("def phi(z:\n", ACTIVATION, "'mine' cannot be imported: SyntaxError"),
    ("1 / 0\n", ACTIVATION, "'mine' cannot be imported: ZeroDivisionError: division by zero"),
    ("import sys\n\nsys.exit(3)\n", ACTIVATION, "'mine' cannot be imported: SystemExit: 3"),
    ("phi = 3\n", ACTIVATION, "must be a function of an array .* not an object of type int"),
    (PHI.format("z.sum()"), ACTIVATION, r"of the shape of its argument, \(2, 3\), got \(\)"),
    (PHI.format("z.astype(jnp.float16)"), ACTIVATION, "type .* float32, got float16"),
    (PHI.format("jnp.round(z).astype(int)"), ACTIVATION, "float32, got int32"),
    (PHI.format("jax.nn.softmax(z)"), ACTIVATION, "on each entry by itself, .* reduce_max"),
    (PHI.format("np.tanh(z)"), ACTIVATION, "must be a function of one array: The numpy.ndarray"),
    (
        "import jax\n\n\ndef phi(z):\n    return jax.pure_callback(abs, z, z)\n",
        ACTIVATION,
        "must be differentiable: Pure callbacks do not support JVP",
    ),
    (None, {"training": {"inference": "mine:swish"}}, "InferenceScheme, not the function swish"),
    (None, {"network": {"activation": "mine:Halves"}}, "not the class Halves"),
    (None, {"variants": ["mine:swish"]}, "must be a parameterisation, a subclass of pccore.Learn"),
    (None, {"tune": {"sampler": "mine:swish", "trials": 2}}, "that returns an Optuna sampler"),
    (None, {"training": {"optimiser": "mine:swish"}}, "argument learning_rate, .* it takes z"),
    (
        None,
        {"training": {"optimiser": {"name": "mine:clipped_lion", "maxnorm": 2.0}}},
        "maxnorm is unknown: clipped_lion@.* did you mean 'max_norm'?",
    ),
    (
        None,
        {"training": {"optimiser": {"name": "mine:clipped_lion", "b1": "high"}}},
        "training.optimiser.b1 must be a number .* got 'high'",
    ),
    (None, {"training": {"penalties": ["mine:Smallness"]}}, "strength is missing: Smallness@"),
    (
        SOURCE.read_text().replace("    def infer(", "    def inver("),
        {"training": {"inference": "mine:Halves"}},
        "subclass of pccore.InferenceScheme without infer",
    ),
    (
        SOURCE.read_text().replace("@dataclass(frozen=True)\nclass Away", "class Away"),
        {"training": {"start": "mine:Away"}},
        "must be a frozen dataclass",
    ),
]


@pytest.mark.parametrize(("text", "changes", "message"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_what_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, text: str | None, changes: dict[str, object], message: str
) -> None:
    path = written(tmp_path, text, **changes)
    with pytest.raises(SpecError) as refused:
        transfer.load(path)
    (sentence,) = refused.value.sentences
    assert re.match(rf"{re.escape(str(path))}: line \d+: [\w.\[\]]+", sentence), sentence
    assert re.search(message, sentence), sentence
    assert "\n" not in sentence


BROKEN = {
    "infer": ("first.departure)", "first.departure.T)"),
    "optimiser": ("optax.lion(learning_rate, b1=b1)", "optax.stateless(lambda g, p: g.first)"),
    "rule": ("jax.numpy.sign, gradients)", "lambda g: g[None], gradients)"),
    "error": ("half.infer(relaxation, activity_lr, departure)", "1 + 'a'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_train_is_refused_before_anything_runs(tmp_path: Path, case: str) -> None:
    text = SOURCE.read_text()
    assert BROKEN[case][0] in text
    thing = {"optimiser": "clipped_lion", "rule": "SignOfBackpropagation"}.get(case, "Halves")
    experiment = transfer.load(written(tmp_path, text.replace(*BROKEN[case]), **PLACES[thing]))
    plan = Plan(experiment, pccore.data.info("digits"), digest="0" * 64)
    with pytest.raises(SpecError, match="cannot be trained: ") as refused:
        plan.check()
    assert all("\n" not in sentence for sentence in refused.value.sentences)


def test_a_file_with_the_name_of_a_library_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, CODE, "optax", network={"activation": "optax:phi"})
    with pytest.raises(SpecError, match=r"optax\.py has the name of the module 'optax'.*: rename"):
        transfer.load(path)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution with plugins."""
    site = tmp_path / "site"
    info = site / "swishes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swishes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mupc.plugins]\nactivation.swish = swishes:swish\noptimiser.lion2 = swishes:clipped_lion\n"
        "activation.relu = swishes:tanh\nactivation.broken = swishes:nothing\n"
    )
    shutil.copy(SOURCE, site / "swishes.py")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("swishes", None)


def test_plugins_are_names(plugin: Path) -> None:
    values = spec(
        network={"activation": ["swish", "relu"]},
        training={"optimiser": {"name": "lion2", "b1": 0.7}},
    )
    experiment = Experiment.from_dict(values)
    swish, lion = experiment.own
    assert re.fullmatch(f"swish{DIGEST}", swish)
    assert swish.reference == f"swishes:{swish}"
    assert re.fullmatch(f"clipped_lion{DIGEST}", lion)
    assert swish == pccore.ACTIVATIONS.name(own_module.swish)  # by code
    # a plugin does not replace what is built in
    assert experiment.network.activation[1] == "relu"
    assert not isinstance(experiment.network.activation[1], Own)


def test_a_broken_plugin_is_named(plugin: Path) -> None:
    with pytest.raises(SpecError, match="module 'swishes' has no 'nothing'"):
        Experiment.from_dict(spec(network={"activation": "broken"}))
    with pytest.raises(pccore.UnknownNameError, match="swish, relu, broken; did you mean 'swish'"):
        pccore.ACTIVATIONS.find("swihs")


def test_a_name_that_only_a_ledger_has_is_explained() -> None:
    with pytest.raises(pccore.UnknownNameError, match=r"is a user's own, .*: first call mupc.load"):
        pccore.NetworkConfig(2, 2, 2, 2, activation="never_met@0123456789ab")

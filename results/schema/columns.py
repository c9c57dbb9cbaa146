"""The catalogue of columns: name, type, unit and meaning of everything that the ledger keeps.

A null means that the value does not exist: it is never written as zero, and NaN stays NaN. Settings
that most runs lack (`_added`) say themselves what a null stands for.
"""

from dataclasses import dataclass

from results.vocabulary import RATES, SIZES, ZERO_SHOT, OutcomeLabel, Phase, VerdictLabel

LOSS = "loss per sample"
"""0.5 squared error summed over outputs, or cross-entropy in nats, as the run's `output` says."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name.
        type: "string", "int64", "float64", "bool" or "timestamp" (microseconds, UTC).
        description: what it holds, and where a null comes from.
        unit: of its numbers; empty where there is none.
        fixed: whether it is the same in all rows that the table's key makes one.
        required: whether a row without it is refused.
        allowed: the values that it may take, if only some.
        since: the first schema version that has it.
        absent: what a null stands for: rows without it, those of older files included, have this.
    """

    name: str
    type: str
    description: str
    unit: str = ""
    fixed: bool = False
    required: bool = False
    allowed: tuple[str, ...] = ()
    since: int = 1
    absent: str | None = None


def _key(name: str, type: str, description: str, unit: str = "") -> Column:
    """A column of every row, by which rows are told apart."""
    return Column(name, type, description, unit, fixed=True, required=True)


def _setting(name: str, type: str, description: str, unit: str = "") -> Column:
    """A column that was decided before anything ran."""
    return Column(name, type, description, unit, fixed=True)


def _added(name: str, type: str, description: str, unit: str = "", since: int = 2) -> Column:
    """A later version's setting: null, as in all rows before, where it is what it was for them."""
    return Column(name, type, description, unit, fixed=True, since=since)


_WEIGHT_LR = "eta, the learning rate of the weight optimiser"
_ACTIVITY_LR = (
    "beta, the step size of inference on the energy, a mean over the batch: compare it only at "
    "one batch_size; null where no activities are inferred, or by a scheme without a step size"
)
_MIN_TRAIN_LOSS = "the smallest single-batch training loss, the thesis's metric"

RUNS = (
    _key("run_id", "string", "hash of everything that determines the run's result"),
    _key("experiment", "string", "name of the experiment that asked for the run"),
    Column(
        "phase",
        "string",
        "whether it belongs to the search, to the target shapes, or to a reproduction",
        required=True,
        allowed=tuple(Phase),
    ),
    _setting("variant", "string", "name of the parameterisation and rule in the experiment"),
    _setting("dataset", "string", "name of the data set"),
    _setting("activation", "string", "name of the activation"),
    _setting("width", "int64", "N, units per hidden layer", "units"),
    _setting("depth", "int64", "H, hidden layers", "layers"),
    _setting("weight_lr", "float64", _WEIGHT_LR, "per weight update"),
    _setting("activity_lr", "float64", _ACTIVITY_LR, "per inference step"),
    _setting("batch_size", "int64", "B, samples per weight update", "samples"),
    _setting("seed", "int64", "of the weights and of the order of the data"),
    Column("outcome", "string", "how the run ended", required=True, allowed=tuple(OutcomeLabel)),
    Column(
        "final_train_loss",
        "float64",
        "mean training loss over the last tenth of the updates; null if diverged or failed, or if "
        "there were none",
        LOSS,
    ),
    Column("min_train_loss", "float64", _MIN_TRAIN_LOSS, LOSS),
    Column(
        "test_accuracy",
        "float64",
        "share of test samples classified correctly after the last update; null for regressions",
        "fraction",
    ),
    Column("seconds", "float64", "time of the run's group divided by its lanes", "s"),
    Column("test_loss", "float64", "loss on the test set after the last update", LOSS),
    Column("steps_done", "int64", "weight updates done", "weight updates"),
    Column(
        "diverged_step",
        "int64",
        "first update, counted from 1, whose batch loss had blown up; null if none had",
        "weight updates",
    ),
    Column("cause", "string", "why a failed run failed; null for the others"),
    _setting("residual", "bool", "whether hidden layers have skip connections"),
    _setting("parameterisation", "string", "name of the scalings and initial distribution"),
    _setting("output", "string", "output loss: mse or cross_entropy"),
    _setting(
        "rule",
        "string",
        "learning rule: pc (predictive coding), bp (backpropagation), ep (equilibrium propagation)",
    ),
    _setting("inference", "string", "name of the inference scheme; null for bp"),
    _setting(
        "inference_steps",
        "int64",
        "inference steps per update; null for bp, and where they are not fixed",
        "steps",
    ),
    _setting("optimiser", "string", "name of the weight optimiser"),
    _setting("optimiser_options", "string", "its options except the learning rate, as JSON"),
    _setting("steps", "int64", "weight updates asked for", "weight updates"),
    _setting("eval_every", "int64", "updates between two points of the curve", "weight updates"),
    _setting("dataset_digest", "string", "SHA-256 of the data set's content, hexadecimal"),
    _setting("conventions", "int64", "version of everything numerical in pccore"),
    Column("device", "string", "the device that trained it"),
    Column("host", "string", "name of the machine that trained it"),
    Column("pid", "int64", "process that trained it"),
    Column("started", "timestamp", "when its group started", "UTC"),
    Column("lanes", "int64", "runs trained together in its program", "runs"),
    Column("mupc_version", "string", "version of mupc that trained it"),
    Column("jax_version", "string", "version of JAX that trained it"),
    Column("group", "string", "id of the append that holds its curve; null without a curve"),
    _added("network", "string", "hybrid, bidirectional or equilibrium; null: one stack of layers"),
    _added("network_options", "string", "what else distinguishes it, as JSON; null: nothing"),
    _added("skip", "int64", "layers that a skip connection spans; null: 1", "layers"),
    _added("bias", "bool", "whether layers have biases; null: they have none"),
    _added(
        "activity_decay", "float64", "alpha of hidden activities; null: 0", "weight in the energy"
    ),
    _added(
        "output_precision",
        "float64",
        "p_L, weight of the output's energy; null: 1",
        "weight in the energy",
    ),
    _added("rule_options", "string", "options of the learning rule, as JSON; null: it has none"),
    _added(
        "inference_options",
        "string",
        "options of the inference scheme but for its steps, as JSON; null: none",
    ),
    _added("start", "string", "where inference begins; null: a forward pass, or an amortiser's"),
    _added("start_options", "string", "its options, as JSON; null: it has none"),
    _added("penalties", "string", "penalties on the weights, as JSON; null: none"),
    _added("probes", "string", "measured while it trained, as JSON; null: nothing", since=3),
)

CURVES = (
    _key("run_id", "string", "the run, as in runs"),
    _key("step", "int64", "weight updates done", "weight updates"),
    Column("train_loss", "float64", "mean training loss since the last point", LOSS),
    Column("test_loss", "float64", "loss on the test set", LOSS),
    Column("test_accuracy", "float64", "share of test samples classified correctly", "fraction"),
    Column("group", "string", "id of the append, as in runs"),
)


def _interval(name: str, what: str, unit: str, since: int = 1) -> tuple[Column, ...]:
    """A quantity and the bounds of its 95% bootstrap interval over seeds."""
    return (Column(name, "float64", what, unit, since=since), *_bounds(name, unit, since))


def _bounds(name: str, unit: str, since: int) -> tuple[Column, ...]:
    sides = (("low", "lower"), ("high", "upper"))
    return tuple(
        Column(
            f"{name}_{end}",
            "float64",
            f"{side} 95% bootstrap bound of {name} over seeds",
            unit,
            since=since,
        )
        for end, side in sides
    )


def _exponent(rate: str, size: str) -> tuple[Column, ...]:
    """An exponent of the rule by which a rate went from the tuned shape to the target."""
    letter, symbol = {"depth": ("q", "L/L0"), "width": ("p", "N/N0")}[size]
    what = (
        f"{letter} of {rate} = tuned {rate} ({symbol})^{letter}, L = H + 1; null where the rule "
        "has none, without bounds where it is prescribed"
    )
    return _interval(f"{rate}_{size}_exponent", what, "powers", since=3)


VERDICTS = (
    _key("experiment", "string", "name of the experiment"),
    _key("variant", "string", "name of the parameterisation and rule in the experiment"),
    _key("dataset", "string", "name of the data set"),
    _key("activation", "string", "name of the activation"),
    Column("tune_width", "int64", "N where it was tuned", "units"),
    Column("tune_depth", "int64", "H where it was tuned", "layers"),
    _key("width", "int64", "N of the target", "units"),
    _key("depth", "int64", "H of the target", "layers"),
    Column("weight_lr", "float64", f"{_WEIGHT_LR}, transferred", "per weight update"),
    Column("activity_lr", "float64", f"{_ACTIVITY_LR}; transferred", "per inference step"),
    Column(
        "loss", "float64", "mean final training loss at the transferred cell; null if none", LOSS
    ),
    Column("accuracy", "float64", "mean test accuracy at the transferred cell", "fraction"),
    Column("accuracy_std", "float64", "its standard deviation over seeds", "fraction"),
    Column("best_weight_lr", "float64", "eta of the best target cell", "per weight update"),
    Column("best_activity_lr", "float64", "beta of the best target cell", "per inference step"),
    Column("best_loss", "float64", "mean final training loss at the best target cell", LOSS),
    *_interval("regret", "log(loss at the transferred cell / best loss at the target)", "nats"),
    *_interval("drift_weight_lr", "log2 shift of the best eta, from tuned to target", "octaves"),
    *_interval("drift_activity_lr", "log2 shift of the best beta, from tuned to target", "octaves"),
    Column("min_train_loss", "float64", f"{_MIN_TRAIN_LOSS}, at the transferred cell", LOSS),
    Column("seeds", "int64", "seeds per cell", "seeds"),
    Column("cells", "int64", "cells run at the target", "cells"),
    Column("runs_trained", "int64", "runs at the target that trained", "runs"),
    Column("runs_at_chance", "int64", "runs at the target that stayed at chance", "runs"),
    Column("runs_diverged", "int64", "runs at the target that diverged", "runs"),
    Column("runs_failed", "int64", "runs at the target that failed", "runs"),
    Column(
        "verdict", "string", "the verdict in one word", required=True, allowed=tuple(VerdictLabel)
    ),
    Column("reason", "string", "why, in one sentence with the numbers"),
    Column("created", "timestamp", "when it was reached; the newest counts", "UTC", required=True),
    Column("spec", "string", "the experiment, as JSON"),
    Column(
        "rule",
        "string",
        "by which the learning rates went from the tuned shapes to the target; null: zero_shot",
        fixed=True,
        required=True,
        since=3,
        absent=ZERO_SHOT,
    ),
    *_bounds("weight_lr", "per weight update", since=3),
    *_bounds("activity_lr", "per inference step", since=3),
    *(column for rate in RATES for size in SIZES for column in _exponent(rate, size)),
)

MEASUREMENTS = (
    _key("quantity", "string", "what was measured, e.g. activity_hessian_condition_number"),
    _setting("experiment", "string", "name of the experiment; null if none"),
    _setting("run_id", "string", "the trained run it was measured on; null if none"),
    _setting("variant", "string", "name of the parameterisation and rule in the experiment"),
    _setting("dataset", "string", "name of the data set"),
    _setting("activation", "string", "name of the activation"),
    _setting("residual", "bool", "whether hidden layers have skip connections"),
    _setting("parameterisation", "string", "name of the scalings and initial distribution"),
    _setting("width", "int64", "N, units per hidden layer", "units"),
    _setting("depth", "int64", "H, hidden layers", "layers"),
    _setting("batch_size", "int64", "B, samples that it is a mean over", "samples"),
    _setting("weight_lr", "float64", _WEIGHT_LR, "per weight update"),
    _setting("activity_lr", "float64", _ACTIVITY_LR, "per inference step"),
    _setting("seed", "int64", "of the weights and of the data"),
    _setting("step", "int64", "weight updates done before it", "weight updates"),
    _setting("inference_step", "int64", "inference steps done before it", "steps"),
    _setting("layer", "int64", "the layer it is about, from 1; null for the network"),
    _setting("settings", "string", "whatever else determines it, as JSON"),
    _setting("conventions", "int64", "version of everything numerical in pccore"),
    Column("value", "float64", "the measured value, in `unit`"),
    Column("unit", "string", "unit of the value; null for pure numbers"),
    Column("seconds", "float64", "time it took", "s"),
    Column("source", "string", "where it is defined, e.g. a thesis section"),
    Column("device", "string", "the device it was measured on"),
    Column("mupc_version", "string", "version of mupc that measured it"),
    Column("jax_version", "string", "version of JAX that measured it"),
    Column("created", "timestamp", "when it was measured; the newest counts", "UTC", required=True),
)

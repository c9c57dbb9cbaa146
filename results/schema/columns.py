"""Columns of all tables but `verdicts`: name, type, unit and meaning.

A null means that the value does not exist: it is never written as zero, and NaN stays NaN. For
settings that were added later (`added`) the description names the value that a null stands for.
"""

from results.schema.column import (
    LOSS,
    OF_ACTIVITY_LR,
    OF_LAYERS,
    OF_MIN_TRAIN_LOSS,
    OF_WEIGHT_LR,
    Column,
    added,
    key,
    setting,
)
from results.vocabulary import OutcomeLabel, Phase

RUNS = (
    key("run_id", "string", "hash of everything that determines the result of the run"),
    key("experiment", "string", "name of the experiment that the run belongs to"),
    Column(
        "phase",
        "string",
        "part of the experiment: tune (search), transfer (target shapes) or reproduce",
        required=True,
        allowed=tuple(Phase),
    ),
    setting("variant", "string", "name of the variant: a parameterisation with a learning rule"),
    setting(
        "dataset",
        "string",
        "name of the data set; of a training function of the user's, its name and the digest of "
        "its code",
    ),
    setting("activation", "string", "name of the activation"),
    setting("width", "int64", "N, units per hidden layer", "units"),
    setting("depth", "int64", "H, hidden layers", "layers"),
    setting("weight_lr", "float64", OF_WEIGHT_LR, "per weight update"),
    setting("activity_lr", "float64", OF_ACTIVITY_LR, "per inference step"),
    setting("batch_size", "int64", "B, samples per weight update", "samples"),
    setting("seed", "int64", "random seed of the initial weights and of the order of the data"),
    Column("outcome", "string", "how the run ended", required=True, allowed=tuple(OutcomeLabel)),
    Column(
        "final_train_loss",
        "float64",
        "mean training loss over the last tenth of the weight updates; null unless the run "
        "trained (curves has the losses of a run at chance)",
        LOSS,
        of_trained=True,
    ),
    Column("min_train_loss", "float64", OF_MIN_TRAIN_LOSS, LOSS),
    Column(
        "test_accuracy",
        "float64",
        "fraction of test samples classified correctly after the last update; null for regressions",
        "fraction",
    ),
    Column(
        "seconds",
        "float64",
        "wall-clock time of the run's group divided by its number of lanes",
        "s",
    ),
    Column(
        "test_loss",
        "float64",
        "loss on the test set after the last update; null unless the run trained",
        LOSS,
        of_trained=True,
    ),
    Column("steps_done", "int64", "weight updates done", "weight updates"),
    Column(
        "diverged_step",
        "int64",
        "first update, counted from 1, at which the batch loss had blown up; null if it never did",
        "weight updates",
    ),
    Column(
        "cause",
        "string",
        "why the run failed, or diverged where beta is set from the spectrum and left the stable "
        "region; else null",
    ),
    setting("residual", "bool", "whether hidden layers have skip connections"),
    setting(
        "parameterisation",
        "string",
        "name of the parameterisation: scalings and initial distribution",
    ),
    setting("output", "string", "output loss: mse or cross_entropy"),
    setting(
        "rule",
        "string",
        "learning rule: pc (predictive coding), bp (backpropagation), ep (equilibrium "
        "propagation), trust_region (trust-region Newton), unsupervised (predictive coding that "
        "infers the input too)",
    ),
    setting("inference", "string", "name of the inference scheme; null for bp"),
    setting(
        "inference_steps",
        "int64",
        "inference steps per weight update; null for bp, and where the number is not fixed",
        "steps",
    ),
    setting("optimiser", "string", "name of the weight optimiser"),
    setting(
        "optimiser_options", "string", "options of the optimiser except the learning rate, as JSON"
    ),
    setting("steps", "int64", "weight updates requested", "weight updates"),
    setting(
        "eval_every", "int64", "weight updates between two points of the curve", "weight updates"
    ),
    setting("dataset_digest", "string", "SHA-256 of the content of the data set, hexadecimal"),
    setting("conventions", "int64", "version of the numerical conventions of pccore"),
    Column("device", "string", "device that trained the run"),
    Column("host", "string", "name of the machine that trained the run"),
    Column("pid", "int64", "id of the process that trained the run"),
    Column("started", "timestamp", "time at which the group of the run started", "UTC"),
    Column("lanes", "int64", "runs trained together in one compiled program", "runs"),
    Column("mupc_version", "string", "version of mupc that trained the run"),
    Column("jax_version", "string", "version of JAX that trained the run"),
    Column(
        "group",
        "string",
        "id of the append that holds the curve and the layers of the run; null without these",
    ),
    added("network", "string", "kind of network, such as hybrid or bidirectional; null: stacked"),
    added("network_options", "string", "other settings of the network, as JSON; null: none"),
    added("skip", "int64", "layers that a skip connection spans; null: 1", "layers"),
    added("bias", "bool", "whether layers have biases; null: false"),
    added(
        "activity_decay",
        "float64",
        "alpha, decay of the hidden activities; null: 0",
        "weight in the energy",
    ),
    added(
        "output_precision",
        "float64",
        "p_L, weight of the output energy; null: 1",
        "weight in the energy",
    ),
    added("rule_options", "string", "options of the learning rule, as JSON; null: none"),
    added(
        "inference_options",
        "string",
        "options of the inference scheme except its steps, as JSON; null: none",
    ),
    added(
        "start",
        "string",
        "initial activities of inference; null: a forward pass, or the amortiser's prediction",
    ),
    added("start_options", "string", "options of start, as JSON; null: none"),
    added("penalties", "string", "penalties on the weights, as JSON; null: none"),
    added("probes", "string", "probes measured during training, as JSON; null: none", since=3),
    Column("layers", "int64", OF_LAYERS, "layers", since=4),
    Column(
        "layers_learned",
        "int64",
        "layers whose weight matrix changed by more than 1% of its initial RMS; null for a run "
        "that diverged or failed",
        "layers",
        since=4,
    ),
    *(
        Column(
            f"change_quarter_{quarter}",
            "float64",
            f"mean change (see table layers) in the {place} quarter of the layers; null for a run "
            "that diverged or failed, and where the quarter has no layer",
            "initial RMS",
            since=4,
        )
        for quarter, place in enumerate(("lowest", "second", "third", "highest"), 1)
    ),
    Column(
        "recorded",
        "timestamp",
        "time at which the run was recorded, later than in every row that its writer knew; null "
        "where started stands for it",
        "UTC",
        since=5,
    ),
    added(
        "compiler_settings",
        "string",
        "flags of XLA and settings of JAX that may change results and cannot be pinned, where they "
        "differ from their defaults, as JSON; null: none",
        since=6,
    ),
    Column("jaxlib_version", "string", "version of jaxlib that trained the run", since=6),
    Column(
        "weights_digest",
        "string",
        "SHA-256 of the file of the trained weights in the folder weights, hexadecimal; null if "
        "they were not kept",
        since=7,
    ),
    added(
        "rates",
        "string",
        "searched values of a training function of the user's by the name of their rate, as JSON; "
        "frames have a column for each; null for networks of mupc's, which have weight_lr and "
        "activity_lr",
        since=9,
    ),
    Column(
        "path",
        "string",
        "arithmetic that trained the run: xla, or native with the instruction set; null where it "
        "was not recorded",
        since=10,
    ),
)

FIRST_SETTINGS = tuple(
    column.name
    for column in RUNS
    if column.fixed and column.since == 1 and column.name not in ("run_id", "experiment", "variant")
)
"""The settings that every run's id is the hash of, those included that it does not have."""

CURVES = (
    key("run_id", "string", "run_id of the run, as in runs"),
    key("step", "int64", "weight updates done", "weight updates"),
    Column("train_loss", "float64", "mean training loss since the previous point", LOSS),
    Column("test_loss", "float64", "loss on the test set", LOSS),
    Column("test_accuracy", "float64", "fraction of test samples classified correctly", "fraction"),
    Column("group", "string", "id of the append, as in runs"),
)

LAYERS = (
    key("run_id", "string", "run_id of the run, as in runs"),
    key("layer", "int64", "layer of the weight matrix, counted from 1 at the input"),
    Column(
        "change",
        "float64",
        "RMS change of the weight matrix in training over its initial RMS; 0 for one that never "
        "moved",
        "initial RMS",
        since=4,
    ),
    Column("group", "string", "id of the append, as in runs", since=4),
)

MEASUREMENTS = (
    key(
        "quantity",
        "string",
        "name of the measured quantity, such as activity_hessian_condition_number",
    ),
    setting("experiment", "string", "name of the experiment; null if it belongs to none"),
    setting("run_id", "string", "run that was measured; null if it is not about one run"),
    setting("variant", "string", "name of the variant: a parameterisation with a learning rule"),
    setting("dataset", "string", "name of the data set"),
    setting("activation", "string", "name of the activation"),
    setting("residual", "bool", "whether hidden layers have skip connections"),
    setting(
        "parameterisation",
        "string",
        "name of the parameterisation: scalings and initial distribution",
    ),
    setting("width", "int64", "N, units per hidden layer", "units"),
    setting("depth", "int64", "H, hidden layers", "layers"),
    setting("batch_size", "int64", "B, samples in the mean", "samples"),
    setting("weight_lr", "float64", OF_WEIGHT_LR, "per weight update"),
    setting("activity_lr", "float64", OF_ACTIVITY_LR, "per inference step"),
    setting("seed", "int64", "random seed of the weights and of the data"),
    setting("step", "int64", "weight updates done before the measurement", "weight updates"),
    setting("inference_step", "int64", "inference steps done before the measurement", "steps"),
    setting("layer", "int64", "layer, counted from 1; null for the whole network"),
    setting("settings", "string", "everything else that determines the value, as JSON"),
    setting("conventions", "int64", "version of the numerical conventions of pccore"),
    Column("value", "float64", "measured value, in the unit of column unit"),
    Column("unit", "string", "unit of the value; null for dimensionless numbers"),
    Column("seconds", "float64", "time that the measurement took", "s"),
    Column("source", "string", "definition of the quantity, such as a thesis section"),
    Column("device", "string", "device of the measurement"),
    Column("mupc_version", "string", "version of mupc that measured"),
    Column("jax_version", "string", "version of JAX that measured"),
    Column(
        "created",
        "timestamp",
        "time of the measurement, later than in every row that its writer knew; the newest counts",
        "UTC",
        required=True,
    ),
)

"""The tables and the figure of docs/depth.md, from the ledger of `mupc run` and run.py.

python examples/depth/tables.py --ledger runs [--figure depth-rates.png]
"""

import argparse
import json

import matplotlib.pyplot as plt
import numpy as np

import mupc

NAMES = {
    "bp": "backpropagation",
    "descent": "descent, T = H",
    "lagrangian": "augmented Lagrangian, T = 2H",
    "lagrangian-4h": "augmented Lagrangian, T = 4H",
    "nesterov": "Nesterov, T = 2H",
    "equilibrium": "equilibrium, one Gauss–Newton step",
}
RULES = ["zero_shot", "depth_mup", "fitted"]


def inference(training):
    """Return the name of the rule of inference that a spec's training has, as the specs here."""
    scheme = training.get("inference", {})
    if scheme.get("scheme") != "augmented_lagrangian":
        return {"gradient_descent": "descent"}.get(scheme.get("scheme"), scheme.get("scheme"))
    return "lagrangian" if scheme["steps"] == {"depth": 2} else "lagrangian-4h"


def verdicts(ledger):
    """Return the newest verdict of every rule at every target, with what the tables show."""
    found = ledger.verdicts()
    specs = found["spec"].map(json.loads)
    found["steps"] = [spec["training"]["steps"] for spec in specs]
    found["inference"] = [
        "bp" if variant == "bp" else inference(spec["training"])
        for variant, spec in zip(found["variant"], specs, strict=True)
    ]
    found["best_accuracy"] = best_accuracies(found, ledger.runs())
    cells = [len(spec["tune"]["weight_lr"]) for spec in specs]
    found["operations_of_a_run"] = found["operations_direct"] / (3 * np.array(cells))
    key = ["dataset", "steps", "tune_depth", "width", "depth", "inference", "rule"]
    return found.sort_values("created").drop_duplicates(key, keep="last")


def best_accuracies(found, runs):
    """Return the mean accuracy of the best cell at every target, over its seeds."""
    schemes = {"gradient_descent": "descent", "augmented_lagrangian": "lagrangian"}
    names = runs["inference"].replace(schemes).fillna("bp")
    names[(names == "lagrangian") & (runs["inference_steps"] == 4 * runs["depth"])] += "-4h"
    runs = runs.assign(inference=names)
    accuracies = []
    for row in found.to_dict("records"):
        there = np.isclose(runs["weight_lr"], row["best_weight_lr"])
        for name in ("dataset", "steps", "width", "depth", "inference"):
            there &= runs[name] == row[name]
        accuracies.append(runs.loc[there, "test_accuracy"].mean())
    return accuracies


def percent(row):
    """Return the loss above the best cell, in percent with its interval."""
    if not np.isfinite(row["loss"]):
        return "does not train"
    low, middle, high = (100 * row[name] for name in ("regret_low", "regret", "regret_high"))
    return f"{middle:.0f} [{low:.0f}, {high:.0f}]"


def table(rows):
    """Return the Markdown table of one data set, width, tuned depth and length, and its laws."""
    rules = [rule for rule in RULES if rule in set(rows["rule"])]
    lines = [
        "| H | inference | operations | "
        + " | ".join(rule.replace("_", "-") for rule in rules)
        + " | layers that learned | accuracy by Depth-µP, best of these, % |"
    ]
    lines.append("|" + "---|" * (len(rules) + 5))
    for depth, there in rows.groupby("depth"):
        reference = there.loc[there["inference"] == "bp", "operations_of_a_run"]
        for name in NAMES:
            of_rule = there[there["inference"] == name].set_index("rule")
            if of_rule.empty:
                continue
            mup = of_rule.loc["depth_mup"]
            ratio = mup["operations_of_a_run"] / reference.max()
            learned = f"{mup['layers_learned']:.0f} of {mup['layers']:.0f}"
            lines.append(
                f"| {depth} | {NAMES[name]} | {ratio:.3g} | "
                + " | ".join(percent(of_rule.loc[rule]) for rule in rules)
                + f" | {learned} | {100 * mup['accuracy']:.1f}, {100 * mup['best_accuracy']:.1f} |"
            )
    fits = rows[(rows["rule"] == "fitted") & rows["weight_lr_depth_exponent"].notna()]
    for _, row in fits.drop_duplicates("inference", keep="last").iterrows():
        low, power, high = (row[f"weight_lr_depth_exponent{end}"] for end in ("_low", "", "_high"))
        lines.append(f"{NAMES[row['inference']]}: L^{power:.2f} [{low:.2f}, {high:.2f}]")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ledger", default="runs")
    parser.add_argument("--figure")
    chosen = parser.parse_args()
    found = verdicts(mupc.open(chosen.ledger))
    key = ["dataset", "steps", "tune_depth", "width"]
    for values, rows in found.groupby(key):
        print("\n" + ", ".join(f"{name} {value}" for name, value in zip(key, values, strict=True)))
        print(table(rows))
    if chosen.figure:
        short = found[found["steps"] == found["steps"].min()]
        draw(short[short["tune_depth"] == short["tune_depth"].min()], chosen.figure)


def draw(found, path):
    """Draw the best rate that ran at every depth against L = H + 1, a panel for each inference."""
    present = [name for name in NAMES if name in set(found["inference"])]
    figure, axes = plt.subplots(
        1, len(present), figsize=(2.6 * len(present), 3.2), sharey=True, layout="constrained"
    )
    for axis, name in zip(axes, present, strict=True):
        here = found[found["inference"] == name]
        for (dataset, width), rows in here.groupby(["dataset", "width"]):
            rows = rows[rows["rule"] == "depth_mup"].sort_values("depth")
            style = {"marker": "o", "linestyle": "-" if dataset == "fashion_mnist" else ":"}
            first = rows.iloc[0]
            depths = [first["tune_depth"], *rows["depth"]]
            rates = [first["tune_optimum_weight_lr"], *rows["optimum_weight_lr"]]
            axis.plot(np.array(depths) + 1, rates, label=f"{dataset}, N = {width}", **style)
        lengths = np.array([9, 129])
        axis.plot(lengths, 0.04 * (lengths / 9) ** -0.5, "k--", linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlabel="L", title=NAMES[name])
        axis.title.set_fontsize(8)
    axes[0].set_ylabel("best η")
    axes[0].legend(fontsize=6)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

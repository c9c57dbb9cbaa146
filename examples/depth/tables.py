"""The tables and figures of docs/depth.md, from the ledger of `mupc run` and run.py.

python examples/depth/tables.py --ledger runs [--rates rates.png] [--layers layers.png]
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
    "equilibrium": "equilibrium",
}
RULES = ["zero_shot", "depth_mup", "fitted"]


def named(variant, scheme, fourfold):
    """Return the name of a rule of inference, as the specs here have it."""
    if variant == "bp":
        return "bp"
    if scheme == "augmented_lagrangian":
        return "lagrangian-4h" if fourfold else "lagrangian"
    return "descent" if scheme == "gradient_descent" else scheme


def verdicts(ledger):
    """Return the newest verdict of every rule at every target, with what the tables show."""
    found = ledger.verdicts()
    specs = found["spec"].map(json.loads)
    schemes = [spec["training"].get("inference", {}) for spec in specs]
    found["steps"] = [spec["training"]["steps"] for spec in specs]
    found["inference"] = [
        named(variant, scheme.get("scheme"), scheme.get("steps") == {"depth": 4})
        for variant, scheme in zip(found["variant"], schemes, strict=True)
    ]
    runs = with_inference(ledger.runs())
    found["best_accuracy"] = [
        of_best_cell(runs, row)["test_accuracy"].mean() for row in found.to_dict("records")
    ]
    tuned = [len(spec["tune"]["weight_lr"]) * spec["tune"]["seeds"] for spec in specs]
    found["operations_of_a_run"] = found["operations_direct"] / np.array(tuned)
    key = ["dataset", "steps", "tune_depth", "width", "depth", "inference", "rule"]
    return found.sort_values("created").drop_duplicates(key, keep="last")


def with_inference(runs):
    """Return the runs with the name of their rule of inference in `inference`."""
    fourfold = runs["inference_steps"] == 4 * runs["depth"]
    each = zip(runs["variant"], runs["inference"], fourfold, strict=True)
    return runs.assign(inference=[named(*values) for values in each])


def of_best_cell(runs, row):
    """Return the runs of the best cell at the target of a verdict, one for each seed."""
    there = np.isclose(runs["weight_lr"], row["best_weight_lr"])
    for name in ("dataset", "steps", "width", "depth", "inference"):
        there &= runs[name] == row[name]
    return runs[there]


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
                f"| {depth} | {NAMES[name]} | {'–' if np.isnan(ratio) else f'{ratio:.3g}'} | "
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
    parser.add_argument("--rates", metavar="PNG", help="draw the best rates against depth")
    parser.add_argument("--layers", metavar="PNG", help="draw what every layer learned")
    chosen = parser.parse_args()
    ledger = mupc.open(chosen.ledger)
    found = verdicts(ledger)
    key = ["dataset", "steps", "tune_depth", "width"]
    for values, rows in found.groupby(key):
        print("\n" + ", ".join(f"{name} {value}" for name, value in zip(key, values, strict=True)))
        print(table(rows))
    short = found[found["steps"] == found["steps"].min()]
    short = short[short["tune_depth"] == short["tune_depth"].min()]
    short = short[short["rule"] == "depth_mup"].sort_values("depth")
    if chosen.rates:
        draw_rates(short, chosen.rates)
    if chosen.layers:
        first = short[short["width"] == short["width"].min()]
        draw_layers(first[first["dataset"] == first["dataset"].min()], ledger, chosen.layers)


def panels(found):
    """Return a figure with a panel for every rule of inference, and the panels by name."""
    names = [name for name in NAMES if name in set(found["inference"])]
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(2.6 * len(names), 3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(NAMES[name], fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, dict(zip(names, axes[0], strict=True))


def draw_rates(found, path):
    """Draw the optimum of every depth against L = H + 1, a panel for each inference."""
    figure, axes = panels(found)
    for name, axis in axes.items():
        here = found[found["inference"] == name]
        for (dataset, width), rows in here.groupby(["dataset", "width"]):
            first = rows.iloc[0]
            lengths = np.array([first["tune_depth"], *rows["depth"]]) + 1
            rates = [first["tune_optimum_weight_lr"], *rows["optimum_weight_lr"]]
            dashes = "-" if dataset == "fashion_mnist" else ":"
            label = f"{dataset}, N = {width}"
            color = f"C{round(np.log2(width)) % 5}"  # one for each power of two
            axis.plot(lengths, rates, f"{color}o{dashes}", markersize=4, label=label)
        lengths = np.array([9, 129])
        axis.plot(lengths, 0.04 * (lengths / 9) ** -0.5, "k--", linewidth=0.8, label="L^-1/2")
        axis.set(xscale="log", yscale="log", xlabel="L")
    first = next(iter(axes.values()))
    first.set_ylabel("best η")
    handles = {h.get_label(): h for axis in axes.values() for h in axis.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=150)


def draw_layers(found, ledger, path):
    """Draw the change of every weight matrix at the best rate, a panel for each inference."""
    figure, axes = panels(found)
    runs, layers = with_inference(ledger.runs()), ledger.layers()
    for row in found.to_dict("records"):
        best = layers[layers["run_id"].isin(of_best_cell(runs, row)["run_id"])]
        change = 100 * best.groupby("layer")["change"].mean().clip(lower=1e-5)
        color = plt.get_cmap("viridis")(np.log2(row["depth"] / 32) / 2.5)
        length = row["depth"] + 1
        axis = axes[row["inference"]]
        axis.plot(change.index / length, change, color=color, label=f"H = {row['depth']}")
    for axis in axes.values():
        axis.axhline(1, color="grey", linestyle=":", linewidth=0.8)
        axis.set(yscale="log", xlabel="layer / L")
    first = next(iter(axes.values()))
    first.set_ylabel("change, % of initial RMS")
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

// All experiments: their state, how far they are, what came out.

import { badge, h } from "./dom.js";
import * as format from "./format.js";
import { progress } from "./verdicts.js";

export function overview(data) {
  if (!data.experiments.length) {
    return h("p", { class: "empty" }, data.reading ? "Reading the ledger …"
      : "The ledger has no runs yet. They appear here as soon as mupc run has finished the first.");
  }
  return [h("h1", {}, format.plural(data.experiments.length, "experiment")),
    h("ul", { class: "experiments" }, data.experiments.map(entry)),
    data.experiments.length > 1 && h("p", {}, h("a", { href: "#/compare" }, "Compare two experiments side by side"))];
}

function entry(experiment) {
  const troubles = ["diverged", "at_chance", "failed"].filter((outcome) => experiment.outcomes[outcome])
    .map((outcome) => `${format.count(experiment.outcomes[outcome])} ${outcome.replace("_", " ")}`).join(", ");
  return h("li", {}, h("a", { class: "experiment", href: address(experiment.key) },
    h("span", { class: "name" }, experiment.name),
    h("span", { class: "states" }, badge(experiment.state), Object.entries(experiment.verdicts).map(([label, number]) => badge(label, `${number} ${label}`))),
    h("span", { class: "sentence" }, experiment.conclusion),
    progress(experiment),
    h("span", { class: "soft" }, [troubles, experiment.newest && `newest run ${format.ago(experiment.newest)}`, ...experiment.drivers].filter(Boolean).join(" · "))));
}

export function address(name) {
  return `#/experiment/${encodeURIComponent(name)}`;
}

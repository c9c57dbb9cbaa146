// The answer: did it transfer, how far is it, what to do next; and the numbers behind it.

import { badge, h, scroller } from "./dom.js";
import * as format from "./format.js";

export function progress(experiment) {
  const total = experiment.total;
  const share = total ? experiment.runs / total : null;
  const left = format.duration(experiment.left);
  const words = [
    total ? `${format.count(experiment.runs)} of ${format.count(total)} runs` : format.plural(experiment.runs, "run"),
    experiment.phase && `phase ${experiment.phase}`,
    left && `about ${left} left`,
  ].filter(Boolean).join(" · ");
  const bar = share === null || experiment.state === "finished" ? null
    : h("progress", { max: "1", value: share, "aria-label": "share of the runs that are done" });
  return h("div", { class: "progress" }, bar, h("span", { class: "soft" }, words));
}

export function answer(section) {
  return h("div", { class: "answer" }, h("p", { class: "conclusion" }, section.conclusion),
    section.matrix.rows.length ? matrix(section.matrix) : h("ul", { class: "plain" },
      section.headlines.map((line) => h("li", {}, h("strong", {}, line.name), " ", line.sentence))),
    steps(section.steps));
}

function matrix(data) {
  return [h("p", { class: "soft" }, "Loss at the transferred learning rates above the best found at each target, with its 95 % interval. N: units in a layer, H: hidden layers."),
    scroller("Verdicts by target", h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "target"), data.rows.map((row) => h("th", { scope: "col" }, row.name)))),
      h("tbody", {}, data.targets.map((target, place) => h("tr", {}, h("th", { scope: "row" }, target),
        data.rows.map((row) => verdict(row.cells[place])))))))];
}

function verdict(cell) {
  if (cell === null) return h("td", {}, "–");
  return h("td", { title: cell.reason }, cell.labels.map((label) => badge(label)),
    h("span", { class: "excess" }, cell.excess), " ", h("small", {}, cell.interval));
}

function steps(list) {
  if (!list.length) return null;
  return h("div", { class: "next" }, h("h3", {}, "What to do next"), h("ul", { class: "plain" },
    list.map((step) => h("li", {}, badge(step.label), " ", h("strong", {}, step.about), ": ", step.advice))));
}

export function numbers(data) {
  if (!data.groups.length) return null;
  const wide = data.columns.length + 2;
  return [h("h3", {}, "Verdicts in numbers"),
    h("p", { class: "soft" }, `One row per target, with its reason below. Brackets are 95 % intervals; a bound that is missing is open. ${data.networks ? "η: learning rate of the weights, β: step size of the activities. " : ""}An octave is a factor of 2.`),
    scroller("Verdicts", h("table", { class: "verdicts" },
    h("thead", {}, h("tr", {}, ["target", "verdict", ...data.columns].map((name) => h("th", { scope: "col" }, name)))),
    data.groups.map((group) => h("tbody", {},
      h("tr", { class: "group" }, h("th", { colspan: wide, scope: "rowgroup" }, group.title)),
      group.rows.map((row) => [
        h("tr", {}, h("th", { scope: "row" }, row.target), h("td", {}, row.labels.map((label) => badge(label))),
          row.numbers.map(([value, remark]) => h("td", { class: "number" }, value, remark && [h("br"), h("small", {}, remark)]))),
        h("tr", { class: "reason" }, h("td"), h("td", { colspan: wide - 1 }, h("div", {}, row.reason))),
      ])))))];
}

export function failures(list) {
  if (!list.length) return null;
  return [h("h3", {}, "Runs without a result"),
    h("p", { class: "soft" }, "Failed runs are trained again when the same command runs again."),
    scroller("Failures", h("table", {},
    h("thead", {}, h("tr", {}, ["runs", "outcome", "cause", "shapes", "machines", "for example"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, list.map((row) => h("tr", {}, h("td", { class: "number" }, format.count(row.runs)), h("td", {}, row.outcome),
      h("td", { class: "cause" }, row.cause), h("td", {}, row.shapes.join("; ")), h("td", {}, row.hosts.join(", ") || "–"),
      h("td", {}, h("code", {}, row.example)))))))];
}

// One experiment. Parts that have not changed stay as they are while the ledger grows.

import { ask } from "./api.js";
import { Curves, Layers } from "./details.js";
import { Block, badge, h, replace, table } from "./dom.js";
import { landscapes } from "./landscape.js";
import { Runs } from "./runs.js";
import { answer, failures, numbers, progress } from "./verdicts.js";

export class Experiment {
  constructor(name) {
    this.name = name;
    this.place = 0;
    this.data = null;
    this.head = new Block("head", (data) => this.heading(data));
    this.answer = new Block("block", (data) => answer(data));
    this.landscapes = new Block("block", (data) => this.surfaces(data));
    this.numbers = new Block("block", (data) => numbers(data));
    this.failures = new Block("block", (data) => failures(data));
    this.settings = new Block("block", (data) => data.map((each) => table(each)));
    this.curves = new Curves();
    this.layers = new Layers();
    this.runs = new Runs(name);
    const block = (title, ...children) => h("section", { class: "block" }, h("h3", {}, title), ...children);
    const fold = (title, element, open) => {
      const details = h("details", { class: "block", ontoggle: () => details.open && open?.() }, h("summary", {}, title), element);
      return details;
    };
    this.runsFold = fold("All runs", this.runs.element, () => this.runs.show());
    this.element = h("article", {}, this.head.element, this.answer.element, this.landscapes.element,
      block("Training curves", h("p", { class: "soft" }, "Select a cell above to see how its runs trained; first shown: the transferred cell."), this.curves.element),
      block("Layers that learned", this.layers.element),
      this.numbers.element, this.failures.element, this.runsFold, fold("Runs by outcome, settings", this.settings.element));
  }

  async update(summary) {
    if (!this.data && summary) { // its numbers are there at once, its rows take longer
      this.head.update([{ ...summary, sections: [] }, 0]);
      replace(this.answer.element, h("p", { class: "conclusion" }, summary.conclusion), h("p", { class: "soft" }, "Reading the runs …"));
    }
    this.data = await ask("experiment", { name: this.name });
    this.place = Math.min(this.place, Math.max(0, this.data.sections.length - 1));
    this.head.update([{ ...this.data, sections: this.data.sections.map(named) }, this.place]);
    const section = this.data.sections[this.place];
    if (!section) {
      replace(this.answer.element, h("p", { class: "empty" }, "The first run has not ended yet."));
      return;
    }
    this.answer.update({ ...section, landscapes: null });
    this.landscapes.update(section.landscapes);
    this.numbers.update(section.verdicts);
    this.failures.update(section.failures);
    this.settings.update([section.counts, section.settings]);
    this.layers.show(this.name, this.place);
    this.refreshCurves(section);
    if (this.runsFold.open) this.runs.show();
  }

  heading([data, place]) {
    const tabs = data.sections.length > 1 ? h("nav", { class: "tabs", "aria-label": "Parts of the experiment" },
      data.sections.map((name, at) => h("button", { type: "button", "aria-pressed": String(at === place), onclick: () => this.choose(at) }, name))) : h("p", { class: "soft" }, data.sections[0] ?? "");
    const unproven = data.unproven ? h("p", { class: "problem" }, `${data.unproven} rows were left out because they cannot be true: see mupc check.`) : null;
    return [h("h1", {}, data.name, " ", badge(data.state)), progress(data), tabs, unproven];
  }

  choose(place) {
    this.place = place;
    this.curves.chosen = this.curves.last = null;
    replace(this.curves.element);
    this.update();
  }

  surfaces(groups) {
    return [h("h3", {}, "Loss over the learning rates"),
      h("p", { class: "soft" }, "Final training loss, the mean over seeds, on one colour scale for all shapes of a variant. Hover or tap for values, select a cell for its training curves."),
      ...landscapes(groups, (group, panel, cell) => {
        this.curves.show(this.name, this.place, group, panel, cell);
        this.curves.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
      })];
  }

  // Show the curves again that were shown, or those of the first transferred cell.
  refreshCurves(section) {
    const { chosen } = this.curves;
    const same = (cell, at) => cell.at.every((value, place) => value === at[place]);
    if (chosen) {
      this.curves.show(this.name, this.place, chosen.group, chosen.panel, chosen.cell);
      return;
    }
    for (const group of section.landscapes) {
      for (const panel of group.panels) {
        const wanted = panel.transferred ?? panel.best;
        const cell = wanted && panel.cells.find((each) => same(each, wanted.at));
        if (cell) { this.curves.show(this.name, this.place, group, panel, cell); return; }
      }
    }
  }
}

export function named(section) {
  const differs = Object.entries(section.differs).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  return [section.dataset, section.activation, ...differs].filter(Boolean).join(", ");
}

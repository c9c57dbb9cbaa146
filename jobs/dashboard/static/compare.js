// Two experiments, or two parts of one (such as activations), side by side.

import { ask } from "./api.js";
import { Block, h, replace, table } from "./dom.js";
import { named } from "./experiment.js";
import { landscapes } from "./landscape.js";
import { answer } from "./verdicts.js";

export class Compare {
  constructor(names, one, other) {
    this.names = names;
    this.sides = [new Side(names, one ?? names[0]), new Side(names, other ?? names[1] ?? names[0])];
    this.settings = new Block("block", (rows) => this.differences(rows));
    this.element = h("article", {}, h("h1", {}, "Side by side"), this.settings.element,
      h("div", { class: "sides" }, this.sides.map((side) => side.element)));
    this.sides.forEach((side) => { side.changed = () => this.update(); });
  }

  async update() {
    await Promise.all(this.sides.map((side) => side.update()));
    const [one, other] = this.sides.map((side) => side.name);
    if (one === other) {
      this.settings.update({ same: true });
      return;
    }
    try {
      this.settings.update({ rows: await ask("comparison", { one, other }), names: [one, other] });
    } catch (error) {
      this.settings.update({ problem: error.message });
    }
  }

  differences(data) {
    if (data.same) return h("p", { class: "soft" }, "Both sides show the same experiment: choose two of its parts, or another experiment.");
    if (data.problem) return h("p", { class: "soft" }, `Settings are compared once both have verdicts: ${data.problem}`);
    if (!data.rows.length) return h("p", { class: "soft" }, "Their specs have the same settings.");
    return table({ caption: "Settings that differ", columns: ["setting", ...data.names], rows: data.rows.map((row) => [row.setting, ...row.values]), headers: 1 });
  }
}

class Side {
  constructor(names, name) {
    this.name = name;
    this.place = 0;
    this.changed = () => {};
    this.parts = h("select", { "aria-label": "Part", onchange: () => { this.place = Number(this.parts.value); this.changed(); } });
    const chooser = h("select", { "aria-label": "Experiment", onchange: () => { this.name = chooser.value; this.place = 0; this.changed(); } },
      names.map((each) => h("option", { value: each, selected: each === name }, each)));
    chooser.value = name;
    this.body = new Block("side-body", (section) => [answer(section), ...landscapes(section.landscapes, () => {})]);
    this.element = h("section", { class: "side" }, h("div", { class: "choose" }, chooser, this.parts), this.body.element);
  }

  async update() {
    try {
      const data = await ask("experiment", { name: this.name });
      this.place = Math.min(this.place, Math.max(0, data.sections.length - 1));
      replace(this.parts, data.sections.map((section, place) => h("option", { value: place }, named(section))));
      this.parts.value = String(this.place);
      this.parts.hidden = data.sections.length < 2;
      if (data.sections.length) this.body.update(data.sections[this.place]);
    } catch (error) {
      replace(this.body.element, h("p", { class: "problem" }, error.message));
    }
  }
}

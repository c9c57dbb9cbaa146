// The runs as a table that is filtered and sorted by the server, a page at a time.

import { ask } from "./api.js";
import { h, replace, scroller } from "./dom.js";
import * as format from "./format.js";

const TEXTS = new Set(["run_id", "phase", "variant", "activation", "outcome", "cause"]);

export class Runs {
  constructor(experiment) {
    this.experiment = experiment;
    this.where = "";
    this.sort = "";
    this.first = 0;
    this.body = h("div");
    const input = h("input", {
      type: "text", id: "filter", placeholder: "outcome=diverged, depth>8", spellcheck: "false", autocomplete: "off",
    });
    this.element = h("div", {}, h("form", {
      class: "filter", onsubmit: (event) => { event.preventDefault(); this.where = input.value; this.first = 0; this.show(); },
    }, h("label", { for: "filter" }, "Filter"), input, h("button", { type: "submit" }, "Apply"),
    h("span", { class: "soft" }, "Conditions by = != < <= > >= like, separated by a comma and a space.")), this.body);
  }

  async show() {
    const where = this.where.split(/,\s+/).map((each) => each.trim()).filter(Boolean);
    try {
      const found = await ask("runs", { name: this.experiment, where, sort: this.sort, first: this.first });
      replace(this.body, this.drawing(found));
    } catch (error) {
      replace(this.body, h("p", { class: "problem" }, error.message));
    }
  }

  drawing(found) {
    const last = Math.min(found.first + found.rows.length, found.total);
    const page = (text, first, able) => h("button", { type: "button", disabled: !able, onclick: () => { this.first = first; this.show(); } }, text);
    const size = 100;
    return [scroller("Runs", h("table", { class: "runs" },
      h("caption", {}, found.total ? `Runs ${format.count(found.first + 1)} to ${format.count(last)} of ${format.count(found.total)}` : "No run meets these conditions"),
      h("thead", {}, h("tr", {}, found.columns.map((name) => this.heading(name)))),
      h("tbody", {}, found.rows.map((row) => h("tr", {}, row.map((value, place) => this.value(found.columns[place], value))))))),
    h("div", { class: "pages" }, page("Previous", Math.max(0, found.first - size), found.first > 0), page("Next", found.first + size, last < found.total))];
  }

  heading(name) {
    const up = this.sort === name;
    const down = this.sort === `-${name}`;
    const sorted = up ? "ascending" : down ? "descending" : null;
    return h("th", { scope: "col", "aria-sort": sorted, class: TEXTS.has(name) ? null : "number" }, h("button", {
      type: "button", class: "sort", onclick: () => { this.sort = up ? `-${name}` : name; this.first = 0; this.show(); },
    }, name.replaceAll("_", " "), up ? " ↑" : down ? " ↓" : ""));
  }

  value(name, value) {
    if (value === null) return h("td", { class: TEXTS.has(name) ? null : "number" }, "–");
    if (name === "run_id") return h("td", {}, h("code", { title: value }, String(value).slice(0, 8)));
    if (TEXTS.has(name)) return h("td", { class: name === "cause" ? "cause" : null }, String(value).replaceAll("_", " "));
    const shown = name === "test_accuracy" ? format.percent(value) : Number.isInteger(value) ? String(value) : format.rate(Number(Number(value).toPrecision(3)));
    return h("td", { class: "number" }, shown);
  }
}

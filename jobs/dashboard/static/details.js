// Training curves of a cell, and how much each layer changed.

import { ask } from "./api.js";
import { CONFIG, chart, layout, viridis } from "./charts.js";
import { h, replace } from "./dom.js";
import * as format from "./format.js";

export class Curves {
  constructor() {
    this.element = h("div", { class: "curves" });
    this.chosen = null;
    this.last = null;
  }

  async show(experiment, section, group, panel, cell) {
    this.chosen = { experiment, section, group, panel, cell };
    const parameters = { name: experiment, section, variant: group.variant, width: panel.width, depth: panel.depth };
    parameters.rate = Object.entries(cell.rates).map(([rate, value]) => `${rate}=${value}`);
    const mine = this.chosen;
    const title = h("h4", {}, `${group.label} at ${panel.shape}, ${format.cell(cell.at, group.axes)}`);
    if (!this.element.firstChild) replace(this.element, title, h("p", { class: "soft" }, "Reading the curves …"));
    try {
      const found = await ask("curves", parameters);
      const text = JSON.stringify([title.textContent, found]);
      if (this.chosen === mine && text !== this.last) replace(this.element, title, this.drawing(found));
      if (this.chosen === mine) this.last = text;
    } catch (error) {
      if (this.chosen === mine) replace(this.element, title, h("p", { class: "problem" }, error.message));
      this.last = null;
    }
  }

  drawing(found) {
    const lines = found.lines.filter((line) => line.step.length);
    if (!lines.length) return h("p", { class: "soft" }, "No curve was recorded for these runs.");
    const accuracy = lines.some((line) => line.test_accuracy.some((value) => value !== null));
    const more = found.runs > found.lines.length
      ? h("p", { class: "soft" }, `The first ${found.lines.length} of ${found.runs} runs.`) : null;
    return [h("div", { class: "pair" },
      this.figure(lines, "Loss over the weight updates: training (line) and test (dashed)", "train_loss", "test_loss", true),
      accuracy && this.figure(lines, "Test accuracy, %", "test_accuracy", null, false)), more];
  }

  figure(lines, caption, name, second, logarithmic) {
    const holder = h("div", { class: "chart", role: "img", "aria-label": caption });
    const draw = (library, theme) => {
      const trace = (line, place, metric, dash) => ({
        type: "scatter", mode: line.step.length === 1 ? "markers" : "lines", x: line.step,
        y: line[metric].map((value) => (value === null ? null : metric === "test_accuracy" ? 100 * value : value)),
        line: { color: theme.series[place % theme.series.length], width: 1.8, dash },
        hovertemplate: `seed ${line.seed}, ${line.outcome.replace("_", " ")}: %{y:.3g} after %{x} updates<extra></extra>`,
      });
      const traces = lines.flatMap((line, place) => [
        trace(line, place, name, "solid"), ...(second ? [trace(line, place, second, "dot")] : [])]);
      library.react(holder, traces, layout(theme, {
        height: 260, yaxis: logarithmic ? { type: "log", nticks: 6, minor: { showgrid: false }, ...range(lines, [name, second]) } : {},
        xaxis: { title: { text: "weight updates" } },
      }), CONFIG);
    };
    return h("figure", {}, h("figcaption", {}, caption), chart(holder, draw));
  }
}

// Runs that blow up would flatten the others: the axis ends where those that trained end.
function range(lines, names) {
  const trained = lines.filter((line) => line.outcome === "trained");
  const values = (trained.length ? trained : lines).flatMap((line) => names.flatMap((name) => line[name] ?? [])).filter((value) => value > 0);
  if (!values.length) return {};
  const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
  const margin = Math.max(0.04, 0.05 * (high - low));
  return { range: [low - margin, high + margin] };
}

export class Layers {
  constructor() {
    this.element = h("div", { class: "layers" });
    this.last = null;
  }

  async show(experiment, section) {
    try {
      const found = await ask("layers", { name: experiment, section });
      const text = JSON.stringify(found);
      if (text !== this.last) replace(this.element, this.drawing(found));
      this.last = text;
    } catch (error) {
      replace(this.element, h("p", { class: "problem" }, error.message));
    }
  }

  drawing(found) {
    if (!found.length) return h("p", { class: "soft" }, "No change of layers was recorded at the transferred cells.");
    const names = [...new Set(found.map((each) => each.label))];
    return [h("p", { class: "soft" },
      "Change of each weight matrix in training over its initial size (RMS), the median over seeds at the transferred cell. " +
      "A layer learned if it changed by more than 1 % (dashed line). Layers are counted from the input."),
    h("div", { class: "panels" }, names.map((name) => this.figure(name, found.filter((each) => each.label === name))))];
  }

  figure(name, lines) {
    const holder = h("div", { class: "chart", role: "img", "aria-label": `${name}: change of each layer` });
    const floor = 1e-6;
    const colour = (place) => viridis(0.85 * place / Math.max(lines.length - 1, 1));
    const swatch = (place) => {
      const mark = h("span", { class: "swatch", "aria-hidden": "true" });
      mark.style.background = colour(place);
      return mark;
    };
    const draw = (library, theme) => {
      const traces = lines.map((line, place) => ({
        type: "scatter", mode: "lines+markers", name: line.shape, x: line.layer,
        y: line.change.map((value) => Math.max(value ?? 0, floor)),
        line: { color: colour(place), width: 2 }, marker: { size: 4 },
        hovertemplate: `${line.shape}: layer %{x} changed by %{y:.2g}<extra></extra>`,
      }));
      const most = Math.max(1, ...lines.flatMap((line) => line.change.map((value) => value ?? 0)));
      library.react(holder, traces, layout(theme, {
        height: 250,
        xaxis: { title: { text: "layer" }, showgrid: false },
        yaxis: { type: "log", tickvals: [1e-6, 1e-4, 1e-2, 1, 100], ticktext: ["0", "0.01 %", "1 %", "100 %", "10⁴ %"], range: [Math.log10(floor), Math.log10(most) + 0.2], title: { text: "change" } },
        shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.01, y1: 0.01, line: { color: theme.soft, width: 1.4, dash: "dash" } }],
      }), CONFIG);
    };
    return h("figure", {}, h("figcaption", {}, h("strong", {}, name)), chart(holder, draw),
      h("ul", { class: "legend" }, lines.map((line, place) => h("li", {}, swatch(place), line.shape))));
  }
}

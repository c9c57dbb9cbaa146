// Loss over the learning rates, one chart per shape, all on the same axes and colours.

import { CONFIG, VIRIDIS, chart, escaped, layout, viridis } from "./charts.js";
import { h } from "./dom.js";
import * as format from "./format.js";

const SHARE_OF_GRID = 0.4; // of a full grid, from which cells are tiles
const log = Math.log10;

export function landscapes(groups, choose) {
  return groups.map((group) => variant(group, choose));
}

function variant(group, choose) {
  const losses = group.panels.flatMap((panel) => panel.cells.map((cell) => cell.loss)).filter((value) => value > 0);
  const scale = losses.length ? [Math.min(...losses), Math.max(...losses)] : [0.1, 1];
  const title = h("h4", {}, group.label);
  if (!group.axes.length) return h("div", { class: "variant" }, title, h("p", { class: "soft" }, "No run of this variant has ended yet."));
  const two = group.axes.length === 2;
  const started = group.panels.filter((panel) => panel.cells.length || panel.planned.length);
  const waiting = group.panels.filter((panel) => !started.includes(panel));
  return h("div", { class: "variant" }, title, group.slice && h("p", { class: "soft" }, group.slice), legend(group, scale, two),
    h("div", { class: "panels" }, started.map((panel) => figure(group, panel, scale, choose))),
    waiting.length > 0 && h("p", { class: "soft" }, `Not started: ${waiting.map((panel) => panel.shape).join("; ")}.`));
}

function legend(group, scale, two) {
  const kinds = new Set(group.panels.flatMap((panel) => panel.cells.map((cell) => cell.outcome)));
  const any = (name) => group.panels.some((panel) => panel[name] && (panel[name].length ?? 1));
  const entry = (show, mark, text) => show && h("li", {}, h("span", { class: `mark ${mark}`, "aria-hidden": "true" }), text);
  return h("ul", { class: "legend" },
    two && h("li", {}, format.loss(scale[0]), h("span", { class: "ramp", "aria-hidden": "true" }), format.loss(scale[1]), " training loss"),
    entry(any("best"), "star", "best cell"),
    entry(any("transferred"), "ring", "transferred cell"),
    entry(any("region"), "region", "optimum, 95 %"),
    entry(kinds.has("diverged"), "cross", "diverged"),
    entry(kinds.has("at_chance"), "open", "at chance"),
    entry(kinds.has("failed"), "failed", "failed"),
    entry(any("planned"), "dot", "not run yet"));
}

function figure(group, panel, scale, choose) {
  const holder = h("div", { class: "chart", role: "img", "aria-label": description(group, panel) });
  const draw = (library, theme) => {
    const parts = group.axes.length === 2
      ? surface(group, panel, scale, theme) : profile(group, panel, scale, theme);
    library.react(holder, parts.traces, layout(theme, parts.layout), CONFIG);
    holder.removeAllListeners?.("plotly_click");
    holder.on("plotly_click", (event) => {
      const place = event.points.map((point) => point.customdata).find((data) => data !== undefined && data !== null);
      if (place !== undefined) choose(group, panel, panel.cells[place]);
    });
  };
  return h("figure", {},
    h("figcaption", {}, h("strong", {}, panel.shape), " ", h("span", { class: "soft" }, panel.note.replace("no verdict", "no verdict yet"))),
    chart(holder, draw), region(group, panel));
}

function region(group, panel) {
  if (!panel.region) return null;
  const side = ([value, low, high]) => {
    if (low === null && high === null) return "anywhere";
    if (low === null) return `at most ${format.rate(high)}`;
    if (high === null) return `at least ${format.rate(low)}`;
    return `${format.rate(low)} to ${format.rate(high)}`;
  };
  const texts = group.axes.filter((axis) => panel.region.estimates[axis.name])
    .map((axis) => `${axis.symbol} ${side(panel.region.estimates[axis.name])}`);
  return texts.length ? h("p", { class: "region-text" }, `optimum: ${texts.join(", ")}`) : null;
}

function description(group, panel) {
  const best = panel.best ? `; best at ${panel.best.text}` : "";
  const moved = panel.transferred ? `; transferred ${panel.transferred.text}` : "";
  return `${group.label}, ${panel.shape}: loss of ${format.plural(panel.cells.length, "cell")}${best}${moved}`;
}

function hover(group, cell) {
  const seeds = Object.entries(cell.counts).map(([outcome, number]) => `${number} ${outcome.replace("_", " ")}`).join(", ");
  const spread = cell.spread ? ` ± ${format.loss(cell.spread)}` : "";
  const lines = [`<b>${escaped(format.cell(cell.at, group.axes))}</b>`];
  if (cell.loss !== null) lines.push(`loss ${format.loss(cell.loss)}${spread}`);
  lines.push(escaped(seeds));
  if (cell.accuracy !== null) lines.push(`test accuracy ${format.percent(cell.accuracy)}`);
  if (cell.learned !== null) lines.push(`${cell.learned} of ${cell.layers} layers learned`);
  return lines.join("<br>");
}

const values = (cells, place) => [...new Set(cells.map((at) => at[place]))].filter((value) => value > 0).sort((a, b) => a - b);

function everywhere(group) {
  return group.panels.flatMap((panel) => [...panel.cells.map((cell) => cell.at), ...panel.planned]);
}

function edges(sorted) {
  const at = sorted.map(log);
  if (at.length === 1) return [at[0] - 0.15, at[0] + 0.15];
  const inner = at.slice(1).map((value, place) => (value + at[place]) / 2);
  return [2 * at[0] - inner[0], ...inner, 2 * at.at(-1) - inner.at(-1)];
}

function ticks(sorted, room) {
  const span = log(sorted.at(-1)) - log(sorted[0]) || 1;
  const kept = [];
  for (const value of sorted) if (!kept.length || (log(value) - log(kept.at(-1))) / span >= room) kept.push(value);
  return { tickmode: "array", tickangle: 0, tickvals: kept.map(log), ticktext: kept.map(format.rate) };
}

function surface(group, panel, scale, theme) {
  const all = everywhere(group);
  const [xs, ys] = [values(all, 0), values(all, 1)];
  const [across, up] = [edges(xs), edges(ys)];
  const able = panel.cells.map((cell, place) => ({ ...cell, place })).filter((cell) => cell.at[0] > 0 && cell.at[1] > 0);
  const own = [values(able.map((cell) => cell.at), 0).length, values(able.map((cell) => cell.at), 1).length];
  const grid = able.length >= SHARE_OF_GRID * own[0] * own[1] && xs.length * ys.length <= 4000;
  const traces = [...(grid ? [tiles(group, able, xs, ys, scale)] : scattered(group, able, scale, theme))];
  traces.push(...marked(group, able, theme), ...waiting(panel, theme), ...outline(panel, theme), ...chosen(panel, theme));
  return {
    traces,
    layout: {
      height: 250,
      xaxis: { title: { text: escaped(group.axes[0].label), standoff: 6 }, range: [across[0], across.at(-1)], showgrid: false, ...ticks(xs, 0.19) },
      yaxis: { title: { text: escaped(group.axes[1].symbol) }, range: [up[0], up.at(-1)], showgrid: false, ...ticks(ys, 0.07) },
    },
  };
}

function tiles(group, cells, xs, ys, scale) {
  const matrix = (fill) => ys.map(() => xs.map(() => fill));
  const [z, text, data] = [matrix(null), matrix(""), matrix(null)];
  for (const cell of cells) {
    if (!(cell.loss > 0)) continue;
    const [column, row] = [xs.indexOf(cell.at[0]), ys.indexOf(cell.at[1])];
    z[row][column] = log(cell.loss);
    text[row][column] = hover(group, cell);
    data[row][column] = cell.place;
  }
  const [low, high] = span(scale);
  return {
    type: "heatmap", x: edges(xs), y: edges(ys), z, text, customdata: data, hovertemplate: "%{text}<extra></extra>",
    zmin: low, zmax: high, colorscale: VIRIDIS.map((colour, place) => [place / (VIRIDIS.length - 1), colour]),
    showscale: false, xgap: 1, ygap: 1, hoverongaps: false,
  };
}

function span(scale) {
  const [low, high] = scale.map(log);
  return high - low > 0.01 ? [low, high] : [low - 0.05, high + 0.05];
}

function points(group, cells, marker) {
  return {
    type: "scatter", mode: "markers", x: cells.map((cell) => log(cell.at[0])), y: cells.map((cell) => log(cell.at[1])),
    text: cells.map((cell) => hover(group, cell)), customdata: cells.map((cell) => cell.place),
    hovertemplate: "%{text}<extra></extra>", marker, cliponaxis: false,
  };
}

function scattered(group, cells, scale, theme) {
  const able = cells.filter((cell) => cell.loss > 0);
  const [low, high] = span(scale);
  const color = able.map((cell) => viridis((log(cell.loss) - low) / (high - low)));
  return [points(group, able, { size: 12, color, line: { color: theme.paper, width: 1 } })];
}

function marked(group, cells, theme) {
  const kinds = { diverged: "x-thin", at_chance: "circle-open", failed: "diamond-open" };
  return Object.entries(kinds).flatMap(([outcome, symbol]) => {
    const some = cells.filter((cell) => cell.outcome === outcome);
    // A cell with a loss has colour below, on which the mark must show.
    const color = some.map((cell) => (cell.loss > 0 ? "#ffffff" : theme.soft));
    return some.length ? [points(group, some, { symbol, size: 8, color, line: { color, width: 1.6 } })] : [];
  });
}

function waiting(panel, theme) {
  const able = panel.planned.filter((at) => at.every((value) => value > 0));
  if (!able.length) return [];
  return [{
    type: "scatter", mode: "markers", x: able.map((at) => log(at[0])), y: able.map((at) => log(at[1] ?? 1)),
    marker: { size: 4, color: theme.soft, opacity: 0.6 }, hovertemplate: "not run yet<extra></extra>",
  }];
}

function outline(panel, theme) {
  const sides = panel.region?.outline ?? [];
  if (!sides.length) return [];
  const line = (color, width, dash) => ({
    type: "scatter", mode: "lines", hoverinfo: "skip", line: { color, width, dash },
    x: sides.flatMap(([one, other]) => [log(one[0]), log(other[0]), null]),
    y: sides.flatMap(([one, other]) => [log(one[1]), log(other[1]), null]),
  });
  return [line("rgba(0,0,0,.55)", 3.4, "solid"), line("#ffffff", 1.8, "solid")];
}

function chosen(panel, theme) {
  const mark = (point, marker) => point && point.at.every((value) => value > 0) ? [{
    type: "scatter", mode: "markers", x: [log(point.at[0])], y: [log(point.at[1])], hoverinfo: "skip", marker, cliponaxis: false,
  }] : [];
  return [
    ...mark(panel.transferred, { symbol: "circle-open", size: 22, line: { color: "#ffffff", width: 5 } }),
    ...mark(panel.transferred, { symbol: "circle-open", size: 22, color: theme.mark, line: { color: theme.mark, width: 2.6 } }),
    ...mark(panel.best, { symbol: "star", size: 13, color: "#ffffff", line: { color: "#000000", width: 1 } }),
  ];
}

function profile(group, panel, scale, theme) {
  const xs = values(everywhere(group), 0);
  const across = edges(xs);
  const able = panel.cells.map((cell, place) => ({ ...cell, place })).filter((cell) => cell.at[0] > 0);
  const shown = able.filter((cell) => cell.loss > 0).sort((a, b) => a.at[0] - b.at[0]);
  const [low, high] = span(scale);
  const margin = 0.08 * (high - low);
  const base = {
    type: "scatter", x: shown.map((cell) => log(cell.at[0])), y: shown.map((cell) => log(cell.loss)),
    text: shown.map((cell) => hover(group, cell)), customdata: shown.map((cell) => cell.place), hovertemplate: "%{text}<extra></extra>",
  };
  const colour = theme.series[0];
  const traces = [{ ...base, mode: "lines+markers", line: { color: colour, width: 2 }, marker: { size: 7, color: colour } }];
  const failed = able.filter((cell) => !(cell.loss > 0));
  if (failed.length) {
    traces.push({
      type: "scatter", mode: "markers", x: failed.map((cell) => log(cell.at[0])), y: failed.map(() => high + margin / 2),
      text: failed.map((cell) => hover(group, cell)), customdata: failed.map((cell) => cell.place),
      hovertemplate: "%{text}<extra></extra>", marker: { symbol: failed.map((cell) => (cell.outcome === "at_chance" ? "circle-open" : "x-thin")), size: 9, color: theme.soft, line: { color: theme.soft, width: 1.8 } },
    });
  }
  const at = (point) => shown.find((cell) => cell.at[0] === point?.at[0]);
  const dot = (point, marker) => at(point) ? [{ type: "scatter", mode: "markers", hoverinfo: "skip", x: [log(point.at[0])], y: [log(at(point).loss)], marker }] : [];
  traces.push(...dot(panel.transferred, { symbol: "circle-open", size: 20, color: theme.mark, line: { color: theme.mark, width: 2.4 } }));
  traces.push(...dot(panel.best, { symbol: "star", size: 13, color: "#ffffff", line: { color: "#000000", width: 1 } }));
  const interval = panel.region?.estimates[group.axes[0].name];
  const shapes = interval ? [{
    type: "rect", xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: theme.line, opacity: 0.7,
    x0: interval[1] ? log(interval[1]) : across[0], x1: interval[2] ? log(interval[2]) : across.at(-1),
  }] : [];
  const losses = [low, (low + high) / 2, high];
  return {
    traces,
    layout: {
      height: 220, shapes,
      xaxis: { title: { text: escaped(group.axes[0].label) }, range: [across[0], across.at(-1)], showgrid: false, ...ticks(xs, 0.19) },
      yaxis: { title: { text: "loss" }, range: [low - margin, high + margin], tickmode: "array", tickvals: losses, ticktext: losses.map((value) => format.loss(10 ** value)) },
    },
  };
}

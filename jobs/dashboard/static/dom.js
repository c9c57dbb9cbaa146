// Elements from data. Texts become text nodes, never markup: a ledger may hold anything.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat(3).filter(Boolean));
}

// A block of the page that is drawn anew only when its data have changed.
export class Block {
  constructor(className, draw) {
    this.element = h("section", { class: className });
    this.draw = draw;
    this.last = null;
  }

  update(data, ...more) {
    const text = JSON.stringify(data);
    if (text === this.last) return;
    this.last = text;
    replace(this.element, this.draw(data, ...more));
  }
}

export const SYMBOLS = {
  held: "✓", drifted: "⇄", inconclusive: "?", untrained: "∅", edge: "⊣", shallow: "↥", collapsed: "↧",
  running: "●", finished: "✓", stopped: "■", unjudged: "○",
};

export function badge(label, text = label) {
  const known = label in SYMBOLS ? label : "other";
  return h("span", { class: `badge ${known}` },
    h("span", { "aria-hidden": "true" }, SYMBOLS[label] ?? "•"), " ", text);
}

export function scroller(label, ...children) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);
}

export function table(data, className = "") {
  return scroller(data.caption, h("table", { class: className },
    h("caption", {}, data.caption),
    h("thead", {}, h("tr", {}, data.columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, data.rows.map((row) => h("tr", {}, row.map((cell, place) =>
      place < data.headers ? h("th", { scope: "row" }, cell) : h("td", {}, cell)))))));
}

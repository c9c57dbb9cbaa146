// The page: which view is shown, and its renewal while the ledger grows.

import { ask } from "./api.js";
import { Compare } from "./compare.js";
import { Block, h, replace } from "./dom.js";
import { Experiment } from "./experiment.js";
import * as format from "./format.js";
import { overview } from "./overview.js";

const PAUSE = 2000;
const BUSY_PAUSE = 300;
const main = document.getElementById("main");
const live = document.getElementById("live");
let data = { experiments: [] };
let view = null;
let timer = null;
let running = false;

const notices = new Block("notices", ([problem, damaged, count]) => [
  problem && h("p", { class: "problem" }, problem),
  count > 0 && h("details", { class: "problem" },
    h("summary", {}, `${format.plural(count, "damaged file")} left out; mupc check --quarantine moves them away`),
    h("ul", {}, damaged.map((each) => h("li", {}, h("code", {}, each.path), ": ", each.fault)))),
]);
document.getElementById("notices").append(notices.element);

class Overview {
  constructor() {
    this.block = new Block("overview", (found) => overview(found));
    this.element = this.block.element;
  }

  async update() {
    this.block.update(data);
  }
}

function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const only = data.experiments.length === 1 && !data.reading ? data.experiments[0].key : null;
  if (parts[0] === "experiment" && parts[1]) return { key: `experiment/${parts[1]}`, make: () => new Experiment(parts[1]) };
  if (parts[0] === "compare") {
    const names = data.experiments.map((each) => each.key);
    return { key: `compare/${names.length > 0}`, make: () => new Compare(names, parts[1], parts[2]) };
  }
  if (only !== null && parts[0] === "") return { key: `experiment/${only}`, make: () => new Experiment(only) };
  return { key: "overview", make: () => new Overview() };
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function crumbs() {
  const several = data.experiments.length > 1;
  return several && view.key !== "overview" ? h("nav", { class: "crumbs" }, h("a", { href: "#/" }, "All experiments"),
    view.key.startsWith("experiment") && h("a", { href: `#/compare/${encodeURIComponent(view.key.slice(11))}` }, "Compare with another")) : null;
}

async function renew() {
  if (running) return;
  running = true;
  clearTimeout(timer);
  try {
    data = await ask("overview");
    document.getElementById("ledger").textContent = data.ledger;
    notices.update([data.problem, data.damaged, data.damaged_count]);
    const wanted = route();
    if (view?.key !== wanted.key) {
      view = { key: wanted.key, shown: wanted.make() };
      replace(main, crumbs(), view.shown.element);
      document.title = wanted.key.startsWith("experiment") ? `${wanted.key.slice(11)} – mupc` : "mupc dashboard";
    }
    const name = view.key.startsWith("experiment/") ? view.key.slice(11) : null;
    await view.shown.update(data.experiments.find((each) => each.key === name));
    const active = data.experiments.some((each) => each.state === "running");
    live.textContent = data.reading ? `reading ${format.count(data.reading.read)} of ${format.count(data.reading.of)} files`
      : active ? "live: a sweep runs" : "up to date";
    live.className = `live ${active ? "active" : ""}`;
  } catch (error) {
    live.textContent = error instanceof TypeError ? "no connection: is mupc dashboard still running?" : error.message;
    live.className = "live lost";
  }
  running = false;
  timer = setTimeout(renew, data.reading ? BUSY_PAUSE : PAUSE);
}

addEventListener("hashchange", () => { renew(); scrollTo(0, 0); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) renew(); });
renew();

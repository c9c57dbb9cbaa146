// Plotly, loaded when the first chart is drawn, with the colours of the page.

let loading = null;

export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/plotly.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.js did not load"));
    document.head.append(script);
  });
  return loading;
}

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: of("ink"), soft: of("soft"), line: of("line"), paper: of("paper"), mark: of("mark"),
    series: [1, 2, 3, 4, 5, 6].map((number) => of(`series-${number}`)),
  };
}

export const VIRIDIS = [
  "#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58",
  "#b5de2b", "#fde725",
];

export function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const part = (hex, at) => parseInt(hex.slice(1 + 2 * at, 3 + 2 * at), 16);
  const mixed = [0, 1, 2].map((at) =>
    Math.round(part(VIRIDIS[low], at) * (1 - place + low) + part(VIRIDIS[low + 1], at) * (place - low)));
  return `rgb(${mixed.join(",")})`;
}

export function layout(theme, more = {}) {
  const axis = {
    gridcolor: theme.line, zeroline: false, linecolor: theme.line, tickcolor: theme.line,
    automargin: true, fixedrange: true, title: { standoff: 8 },
  };
  const { xaxis, yaxis, ...rest } = more;
  return {
    font: { family: "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: 12.5, color: theme.ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 44, r: 8, t: 6, b: 38 }, showlegend: false, dragmode: false, hovermode: "closest",
    hoverlabel: { bgcolor: theme.paper, bordercolor: theme.soft, font: { color: theme.ink, size: 12.5 }, align: "left" },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
    ...rest,
  };
}

export const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };

// Texts that Plotly takes for markup are escaped.
export function escaped(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// Charts are drawn when they come into view, and again when the colours change.
const drawings = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    drawings.get(entry.target)?.();
  }
}, { rootMargin: "300px" });

export function chart(element, draw) {
  const perform = async () => {
    try {
      const library = await plotly();
      if (element.isConnected) draw(library, colours());
    } catch (error) {
      element.textContent = `This chart cannot be drawn: ${error.message}`;
    }
  };
  drawings.set(element, perform);
  requestAnimationFrame(() => {
    for (const old of drawings.keys()) if (!old.isConnected) drawings.delete(old);
    if (element.isConnected) seen.observe(element);
  });
  return element;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [element, draw] of drawings) if (element.isConnected) draw();
});

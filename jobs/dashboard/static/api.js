// Questions to the server. An answer that has not changed is not sent again.

const known = new Map();
const MOST_KNOWN = 64;

export class Refusal extends Error {}

export async function ask(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined) query.append(name, each);
    }
  }
  const url = `/api/${path}?${query}`;
  const before = known.get(url);
  const headers = before ? { "If-None-Match": before.tag } : {};
  const answer = await fetch(url, { headers, cache: "no-store", credentials: "same-origin" });
  if (answer.status === 304 && before) return before.data;
  if (!answer.ok) {
    const text = await answer.text();
    let reason = text.trim();
    try { reason = JSON.parse(text).error; } catch { /* plain text */ }
    throw new Refusal(reason || `the server answered with status ${answer.status}`);
  }
  const data = await answer.json();
  if (known.size > MOST_KNOWN) known.clear();
  known.set(url, { tag: answer.headers.get("ETag"), data });
  return data;
}

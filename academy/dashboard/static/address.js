// The page's address: which job is shown and which jobs are listed. It survives a reload, can be shared,
// and goes back and forward.

import { element } from "./dom.js";

/** @typedef {"job" | "status" | "kind" | "role"} Name */
/** @typedef {Record<Name, string | null>} Place */
/** @typedef {Partial<Place>} Changes */

/** @type {Name[]} */
const NAMES = ["job", "status", "kind", "role"];
/** @type {(() => void)[]} */
const listeners = [];

export function startAddress() {
  window.addEventListener("popstate", tell);
  keepInLanguageLinks();
}

/** What the address says; null for what it leaves open. */
export function place() {
  const query = new URLSearchParams(location.search);
  return /** @type {Place} */ (Object.fromEntries(NAMES.map((name) => [name, query.get(name) || null])));
}

/**
 * The address with changes; null takes a part out of it.
 * @param {Changes} changes
 */
export function addressWith(changes) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...place(), ...changes })) if (value !== null) query.set(name, value);
  return `${location.pathname}${query.size > 0 ? `?${query}` : ""}`;
}

/**
 * Go there, as a step that the browser's back takes back.
 * @param {Changes} changes
 */
export function go(changes) {
  const wanted = addressWith(changes);
  if (wanted === location.pathname + location.search) return;
  history.pushState(null, "", wanted);
  tell();
}

/**
 * Call `listener` whenever the address was changed.
 * @param {() => void} listener
 */
export function onMove(listener) {
  listeners.push(listener);
}

/**
 * A job's id as a link to its address. A plain click stays on the page and shows the job.
 * @param {string} jobId
 */
export function jobLink(jobId) {
  const link = element("a", { href: addressWith({ job: jobId }), "data-action": "open" }, jobId);
  link.addEventListener("click", (event) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    showJob(jobId);
  });
  return link;
}

/**
 * Show a job, and move the page to where it stands.
 * @param {string} jobId
 */
export function showJob(jobId) {
  go({ job: jobId });
  document.getElementById("log-title")?.scrollIntoView({ block: "nearest" });
}

function tell() {
  keepInLanguageLinks();
  for (const listener of listeners) listener();
}

/** Another language shows the same job and the same list. */
function keepInLanguageLinks() {
  for (const link of document.querySelectorAll(".languages a")) {
    if (!(link instanceof HTMLAnchorElement)) continue;
    const query = new URLSearchParams(location.search);
    query.set("language", link.lang);
    link.href = `${location.pathname}?${query}`;
  }
}

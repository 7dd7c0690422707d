// The log viewer: one job's events, live, from the first one on.

import { BASE } from "./api.js";
import { byId, element, show } from "./dom.js";
import { drawFigures, forgetFigures, takeMetrics, takeProgress } from "./figures.js";
import { showForeseen } from "./foreseen.js";
import { clock, loss, number, t } from "./texts.js";

/** @typedef {import("../shapes").JobEvent} JobEvent */
/**
 * @template {JobEvent["type"]} Type
 * @typedef {Extract<JobEvent, { type: Type }>} EventOf
 */
/** @typedef {{ line: number, at: string, message: string, level: string }} Line */
/**
 * @typedef {object} Viewed  what is being watched: a job, its connection, and the lines not drawn yet
 * @property {string} jobId
 * @property {EventSource | null} source
 * @property {number | undefined} retry  the timer of the next connection
 * @property {string | null} lastId  of the newest event that came
 * @property {Line[]} waiting
 * @property {number} count  of all lines that came
 * @property {number} cut  lines that the page no longer keeps
 * @property {boolean} isPaused
 * @property {number} wait  milliseconds until a connection is tried again
 */

const MOST_LINES = 3000;
const DRAW_MILLISECONDS = 150;
const LONGEST_RETRY_MILLISECONDS = 30_000;
const OVER = new Set(["finished", "failed", "cancelled"]);
/** @type {Record<string, import("./dom.js").Mood>} */
const MOODS = { finished: "good", failed: "bad", cancelled: "quiet", paused: "quiet" };

/** @type {Viewed | null} */
let now = null;
/** @type {number | null} */
let timer = null;

export function startLog() {
  byId("log-pause").addEventListener("click", () => {
    if (now === null) return;
    now.isPaused = !now.isPaused;
    byId("log-pause").textContent = t(now.isPaused ? "log.resume" : "log.pause");
    draw();
  });
  const lines = byId("log-lines");
  const follow = byId("log-follow", HTMLInputElement);
  // Scrolling up by hand stops the scrolling along; back at the end, it goes on.
  lines.addEventListener("scroll", () => (follow.checked = isAtEnd(lines)));
  follow.addEventListener("change", () => follow.checked && toEnd(lines));
}

/** The id of the job that is shown, or null. */
export function watched() {
  return now?.jobId ?? null;
}

/**
 * Show a job's log, and follow it until the job is over.
 * @param {string} jobId
 */
export function watch(jobId) {
  if (now?.jobId === jobId) return;
  now?.source?.close();
  clearTimeout(now?.retry);
  now = { jobId, source: null, retry: undefined, lastId: null, waiting: [], count: 0, cut: 0, isPaused: false, wait: 1000 };
  byId("log").hidden = false;
  byId("log-none").hidden = true;
  byId("log-title").textContent = t("log.title", { job: jobId });
  byId("log-lines").replaceChildren();
  byId("log-follow", HTMLInputElement).checked = true;
  byId("log-pause").textContent = t("log.pause");
  byId("log-download", HTMLAnchorElement).href = `${path(jobId)}?download=1`;
  byId("log-status").textContent = "…";
  show(byId("log-failure"), null);
  forgetFigures();
  showForeseen(null);
  connect(now);
}

/** @param {Viewed} viewed */
function connect(viewed) {
  const after = viewed.lastId === null ? "" : `?after=${viewed.lastId}`;
  const source = new EventSource(`${path(viewed.jobId)}/stream${after}`);
  viewed.source = source;
  say(viewed.lastId === null ? "log.connecting" : "log.again");
  source.onmessage = (message) => {
    if (viewed !== now) return;
    viewed.wait = 1000;
    if (message.lastEventId) viewed.lastId = message.lastEventId;
    take(viewed, JSON.parse(message.data));
  };
  source.onerror = () => {
    if (viewed !== now || source.readyState === EventSource.CONNECTING) return say("log.again");
    // The browser gives up on a refusal such as 503; go on after the last event a little later.
    source.close();
    viewed.retry = setTimeout(() => viewed === now && connect(viewed), viewed.wait);
    viewed.wait = Math.min(viewed.wait * 2, LONGEST_RETRY_MILLISECONDS);
  };
}

/**
 * @param {Viewed} viewed
 * @param {JobEvent} event
 */
function take(viewed, event) {
  switch (event.type) {
    case "connected":
      say("log.live");
      break;
    case "log":
    case "stage":
      add(viewed, event, event.message, event.type === "stage" ? "stage" : (event.level ?? "info"));
      break;
    case "error":
      add(viewed, event, [event.message, event.next_step].filter(Boolean).join(" "), "error");
      break;
    case "metrics":
      takeMetrics(event);
      break;
    case "evaluation":
      add(viewed, event, evaluation(event), "info");
      break;
    case "checkpoint":
      add(viewed, event, t("log.checkpoint", { step: number(event.step) }), "info");
      break;
    case "progress":
      takeProgress(event);
      break;
    case "truncated":
      add(viewed, event, t("log.truncated"), "warning");
      break;
    case "status":
      takeStatus(viewed, event);
  }
  timer ??= setTimeout(draw, DRAW_MILLISECONDS);
}

/**
 * @param {Viewed} viewed
 * @param {EventOf<"status">} event
 */
function takeStatus(viewed, event) {
  const node = byId("log-status");
  node.textContent = t(`status.${event.status}`);
  node.className = `badge ${MOODS[event.status] ?? "busy"}`;
  add(viewed, event, `→ ${t(`status.${event.status}`)}`, "stage");
  if (event.failure) show(byId("log-failure"), `${event.failure.message} ${event.failure.next_step ?? ""}`);
  if (!OVER.has(event.status)) return;
  viewed.source?.close();
  takeProgress({ isOver: true, isFinished: event.status === "finished" });
  say("log.over");
  showForeseen(viewed.jobId);
  document.dispatchEvent(new Event("job-over"));
}

/**
 * @param {Viewed} viewed
 * @param {JobEvent} event
 * @param {string} message
 * @param {string} level
 */
function add(viewed, event, message, level) {
  viewed.count += 1;
  viewed.waiting.push({ line: viewed.count, at: event.timestamp, message, level });
  if (viewed.waiting.length > MOST_LINES) viewed.cut += viewed.waiting.splice(0, viewed.waiting.length - MOST_LINES).length;
}

/** Put what came since the last time onto the page, all at once. */
function draw() {
  timer = null;
  if (now === null) return;
  drawFigures();
  const lines = byId("log-lines");
  if (now.isPaused) {
    byId("log-waiting").textContent = now.waiting.length ? t("log.waiting", { count: number(now.waiting.length) }) : "";
    return;
  }
  const follows = byId("log-follow", HTMLInputElement).checked;
  lines.append(...now.waiting.splice(0).map(line));
  while (lines.childElementCount > MOST_LINES) {
    lines.firstElementChild?.remove();
    now.cut += 1;
  }
  byId("log-waiting").textContent = now.cut > 0 ? t("log.cut", { count: number(now.cut) }) : "";
  if (follows) toEnd(lines);
}

/** @param {Line} each */
function line(each) {
  return element(
    "li",
    { class: each.level },
    element("span", { class: "number" }, String(each.line)),
    element("time", { datetime: each.at }, clock(each.at)),
    element("span", { class: "message" }, each.message),
  );
}

/** @param {EventOf<"evaluation">} event */
function evaluation(event) {
  const name = ["base", "adapter"].includes(event.name) ? t(`log.${event.name}`) : event.name;
  return t("log.evaluation", { name, step: number(event.step), loss: loss(event.loss), rows: number(event.rows) });
}

/** @param {string} jobId */
function path(jobId) {
  return `${BASE}/train/${encodeURIComponent(jobId)}/logs`;
}

/** @param {string} key */
function say(key) {
  byId("log-connection").textContent = t(key);
}

/** @param {HTMLElement} node */
function isAtEnd(node) {
  return node.scrollHeight - node.scrollTop - node.clientHeight < 8;
}

/** @param {HTMLElement} node */
function toEnd(node) {
  node.scrollTop = node.scrollHeight;
}

// The log viewer: one job's events, live, from the first one on.

import { onMove, place } from "./address.js";
import { BASE, Problem, get } from "./api.js";
import { heldOutText } from "./curve.js";
import { byId, element, show } from "./dom.js";
import { failureNodes, failureText } from "./failures.js";
import { drawFigures, forgetFigures, takeEvaluation, takeMetrics } from "./figures.js";
import { showForeseen } from "./foreseen.js";
import { OVER, moodOf, progressOf, statusText, takeEnd, takeFigures, takeJob, timeLeftOf } from "./progress.js";
import { clock, counted, kindName, moment, number, t } from "./texts.js";

/** @typedef {import("../shapes").JobEvent} JobEvent */
/**
 * @template {JobEvent["type"]} Type
 * @typedef {Extract<JobEvent, { type: Type }>} EventOf
 */
/** What colours a terminal; all other sequences are gone before a line becomes an event. */
// eslint-disable-next-line no-control-regex
const COLOURS = /\u001b\[[0-9;:]*m/g;

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
 * @property {boolean} isOver  as the API said it, while the events from its first one on are told again
 * @property {number} wait  milliseconds until a connection is tried again
 */

const MOST_LINES = 3000;
const DRAW_MILLISECONDS = 150;
const LONGEST_RETRY_MILLISECONDS = 30_000;

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
  onMove(showAddressed);
  showAddressed();
}

/** The job that the address names; none if it names none, until one is followed. */
function showAddressed() {
  const { job } = place();
  if (job !== null) return watch(job);
  leave();
  byId("log").hidden = true;
  byId("log-none").hidden = false;
  show(byId("log-missing"), null);
  byId("log-title").textContent = t("log.lines");
}

function leave() {
  now?.source?.close();
  clearTimeout(now?.retry);
  now = null;
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
  leave();
  now = { jobId, source: null, retry: undefined, lastId: null, waiting: [], count: 0, cut: 0, isPaused: false, isOver: false, wait: 1000 };
  byId("log").hidden = true;
  byId("log-none").hidden = true;
  show(byId("log-missing"), null);
  byId("log-title").textContent = t("log.title", { job: jobId });
  byId("log-lines").replaceChildren();
  byId("log-follow", HTMLInputElement).checked = true;
  byId("log-pause").textContent = t("log.pause");
  byId("log-download", HTMLAnchorElement).href = `${path(jobId)}?download=1`;
  byId("log-progress").replaceChildren(progressOf(jobId));
  byId("figure-eta").replaceChildren(timeLeftOf(jobId));
  forgetFigures();
  showForeseen(null);
  begin(now);
}

/**
 * Ask what the job is before its events are asked for: a job that is not there has none, ever.
 * @param {Viewed} viewed
 */
async function begin(viewed) {
  try {
    /** @type {import("../shapes").JobStatus} */
    const job = await get(`/jobs/${encodeURIComponent(viewed.jobId)}`);
    if (viewed !== now) return;
    viewed.isOver = OVER.has(job.status);
    viewed.wait = 1000;
    takeJob(job);
    showStatus(job.status, job.failure);
    byId("log-facts").textContent = [kindName(job.kind), t("log.created", { time: moment(job.created_at) })].join(" · ");
    show(byId("log-obstacle"), job.obstacle);
    byId("log").hidden = false;
    connect(viewed);
  } catch (error) {
    if (viewed !== now) return;
    if (error instanceof Problem && error.status < 500) return refuse(viewed, error);
    again(viewed, begin);
  }
}

/**
 * @param {Viewed} viewed
 * @param {Problem} error
 */
function refuse(viewed, error) {
  const isUnknown = error.status === 404;
  show(byId("log-missing"), isUnknown ? t("log.missing", { job: viewed.jobId }) : failureText(error));
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
    again(viewed, connect);
  };
}

/**
 * Try once more a little later, and the time after that later still.
 * @param {Viewed} viewed
 * @param {(viewed: Viewed) => unknown} attempt
 */
function again(viewed, attempt) {
  viewed.retry = setTimeout(() => viewed === now && attempt(viewed), viewed.wait);
  viewed.wait = Math.min(viewed.wait * 2, LONGEST_RETRY_MILLISECONDS);
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
      add(viewed, event, failureText(event), "error");
      break;
    case "metrics":
      takeMetrics(event);
      takeFigures(viewed.jobId, attemptOf(viewed), event.progress ?? null, event);
      break;
    case "evaluation":
      takeEvaluation(event);
      add(viewed, event, heldOutText(event), "info");
      break;
    case "checkpoint":
      add(viewed, event, t("log.checkpoint", { step: number(event.step) }), "info");
      break;
    case "progress":
      takeFigures(viewed.jobId, attemptOf(viewed), event.progress ?? null, {});
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
  const isOver = OVER.has(event.status);
  if (isOver || !viewed.isOver) showStatus(event.status, event.failure ?? null);
  add(viewed, event, `→ ${statusText(event.status, event.failure)}`, "stage");
  if (!isOver) return;
  viewed.source?.close();
  takeEnd(viewed.jobId, event.status, event.failure);
  say("log.over");
  showForeseen(viewed.jobId);
  document.dispatchEvent(new Event("job-over"));
}

/**
 * @param {string} status
 * @param {import("../shapes").Failure | null} failure
 */
function showStatus(status, failure) {
  const node = byId("log-status");
  node.textContent = statusText(status, failure);
  node.className = `badge ${moodOf(status)}`;
  byId("log-failure").replaceChildren(...(failure === null ? [] : failureNodes(failure)).filter((each) => each !== null));
  byId("log-failure").hidden = failure === null;
  if (status !== "queued") show(byId("log-obstacle"), null);
}

/**
 * The attempt that the newest event is of: its id is `attempt-seq`.
 * @param {Viewed} viewed
 */
function attemptOf(viewed) {
  return Number.parseInt(viewed.lastId ?? "1", 10);
}

/**
 * @param {Viewed} viewed
 * @param {JobEvent} event
 * @param {string} message
 * @param {string} level
 */
function add(viewed, event, message, level) {
  viewed.count += 1;
  viewed.waiting.push({ line: viewed.count, at: event.timestamp, message: message.replace(COLOURS, ""), level });
  if (viewed.waiting.length > MOST_LINES) viewed.cut += viewed.waiting.splice(0, viewed.waiting.length - MOST_LINES).length;
}

/** Put what came since the last time onto the page, all at once. */
function draw() {
  timer = null;
  if (now === null) return;
  drawFigures();
  const lines = byId("log-lines");
  if (now.isPaused) {
    byId("log-waiting").textContent = now.waiting.length ? counted("log.waiting", now.waiting.length) : "";
    return;
  }
  const follows = byId("log-follow", HTMLInputElement).checked;
  lines.append(...now.waiting.splice(0).map(line));
  while (lines.childElementCount > MOST_LINES) {
    lines.firstElementChild?.remove();
    now.cut += 1;
  }
  byId("log-waiting").textContent = now.cut > 0 ? counted("log.cut", now.cut) : "";
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

/** @param {string} jobId */
function path(jobId) {
  return `${BASE}/jobs/${encodeURIComponent(jobId)}/logs`;
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

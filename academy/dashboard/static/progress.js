// How far a job is and how long it still takes: one answer for every place of the page that tells it.

import { element } from "./dom.js";
import { duration, number, percent, t } from "./texts.js";

/** @typedef {import("../shapes").Failure} Failure */
/** @typedef {{ eta_seconds?: number | null, eta_low?: number | null, eta_high?: number | null }} TimeLeft */
/**
 * @typedef {object} Standing  what is known of a job
 * @property {string} status
 * @property {string | null} code  why it failed
 * @property {number} attempt
 * @property {number | null} share  of the work that is done, 0 to 1
 * @property {TimeLeft} left
 */

export const OVER = new Set(["finished", "failed", "cancelled"]);
/** @type {Record<string, import("./dom.js").Mood>} */
const MOODS = { finished: "good", failed: "bad", cancelled: "quiet", paused: "quiet" };
const TIMED_OUT = new Set(["timeout", "cpu_time_exceeded"]);
/** Statuses in which somebody is at the work, so that an estimate holds. */
const AT_WORK = new Set(["preparing", "running", "pausing"]);
/** @type {Map<string, Standing>} */
const known = new Map();

/**
 * Take what the API says of a job, in a list or alone.
 * @param {import("../shapes").JobShown} job
 */
export function takeJob(job) {
  const before = known.get(job.job_id);
  // An answer that was on its way while the job's end was told.
  if (before !== undefined && OVER.has(before.status) && !OVER.has(job.status)) return;
  const after = { status: job.status, code: job.failure?.code ?? null, attempt: job.attempt, share: job.progress, left: job };
  // The row is written now and then, so the job's events may have told more of its work.
  const isOlder = before !== undefined && job.status !== "finished" && isBefore(after, before);
  known.set(job.job_id, isOlder ? { ...before, status: after.status, code: after.code } : after);
  paint(job.job_id);
}

/**
 * Take what a job's own events tell, which may be newer than the API's last answer, or older.
 * @param {string} jobId
 * @param {number} attempt
 * @param {number | null} share
 * @param {TimeLeft} left
 */
export function takeFigures(jobId, attempt, share, left) {
  const before = known.get(jobId);
  if (before === undefined || before.status === "finished") return;
  const after = { ...before, attempt, share, left };
  if (isBefore(after, before)) return;
  known.set(jobId, after);
  paint(jobId);
}

/**
 * Take the end of a job from its events.
 * @param {string} jobId
 * @param {string} status
 * @param {Failure | null | undefined} failure
 */
export function takeEnd(jobId, status, failure) {
  const before = known.get(jobId) ?? { attempt: 1, share: null, left: {} };
  const share = status === "finished" ? 1 : before.share;
  known.set(jobId, { ...before, share, status, code: failure?.code ?? null });
  paint(jobId);
}

/**
 * A bar with its words that stays up to date by itself.
 * @param {string} jobId
 */
export function progressOf(jobId) {
  const node = element("span", { class: "progress", "data-progress-of": jobId });
  return fillProgress(node, jobId);
}

/**
 * The time left of a job, with its interval; it stays up to date by itself.
 * @param {string} jobId
 */
export function timeLeftOf(jobId) {
  const node = element("span", { "data-time-left-of": jobId });
  return fillTimeLeft(node, jobId);
}

/**
 * An estimated time in words, as it stands everywhere: what is likely, and the interval around it.
 * @param {number | null | undefined} seconds
 * @param {number | null | undefined} low
 * @param {number | null | undefined} high
 */
export function estimate(seconds, low, high) {
  if (seconds === null || seconds === undefined) return "–";
  const likely = t("estimate", { duration: duration(Math.ceil(seconds)) });
  if (typeof low !== "number" || typeof high !== "number") return likely;
  return `${likely} (${t("estimate.interval", { low: duration(Math.floor(low)), high: duration(Math.ceil(high)) })})`;
}

/**
 * The mood in which a job's status is shown; one that ran out of time is told from other failures.
 * @param {string} status
 */
export function moodOf(status) {
  return MOODS[status] ?? "busy";
}

/**
 * A status in words.
 * @param {string} status
 * @param {Failure | null | undefined} failure
 */
export function statusText(status, failure) {
  return t(`status.${status === "failed" && TIMED_OUT.has(failure?.code ?? "") ? "timed_out" : status}`);
}

/**
 * Within an attempt the share only grows, and a later attempt may begin again further back.
 * @param {Standing} one
 * @param {Standing} other
 */
function isBefore(one, other) {
  if (one.attempt !== other.attempt) return one.attempt < other.attempt;
  return (one.share ?? 0) < (other.share ?? 0);
}

/** @param {string} jobId */
function paint(jobId) {
  const id = CSS.escape(jobId);
  for (const node of document.querySelectorAll(`[data-progress-of="${id}"]`)) fillProgress(node, jobId);
  for (const node of document.querySelectorAll(`[data-time-left-of="${id}"]`)) fillTimeLeft(node, jobId);
}

/**
 * @template {Element} Kind
 * @param {Kind} node
 * @param {string} jobId
 */
function fillProgress(node, jobId) {
  const found = known.get(jobId);
  const look = found === undefined ? "queued" : lookOf(found);
  const share = found?.share ?? null;
  const words = wordsOf(look, share);
  const state = `${look} ${share}`;
  if (node instanceof HTMLElement && node.dataset["state"] === state) return node;
  if (node instanceof HTMLElement) node.dataset["state"] = state;
  node.replaceChildren(...[barOf(look, share), element("span", {}, words)].filter((each) => each !== null));
  return node;
}

/**
 * A bar: empty and moving where work goes on whose share nobody can tell, and none where none goes on.
 * @param {string} look
 * @param {number | null} share
 */
function barOf(look, share) {
  if (share === null && look !== "running") return null;
  return element("progress", { class: look, max: 1, value: share, "aria-label": t("job.progress") });
}

/**
 * @param {string} look
 * @param {number | null} share
 */
function wordsOf(look, share) {
  if (share === null) return OVER.has(look) || look === "timed_out" ? t("progress.unknown") : "–";
  // What is not done is never called 100 %, unless the job itself says that nothing is left.
  const done = percent(Math.floor(share * 100 + 1e-9) / 100);
  return look === "running" || look === "finished" ? done : t(`progress.${look}`, { percent: done });
}

/** @param {Standing} found */
function lookOf(found) {
  const { status, code } = found;
  if (status === "failed") return code !== null && TIMED_OUT.has(code) ? "timed_out" : "failed";
  if (status === "finished" || status === "cancelled" || status === "paused" || status === "queued") return status;
  return "running";
}

/**
 * Only a job that tells its share has an estimate of its end; a curation's is that of a stage.
 * @template {Element} Kind
 * @param {Kind} node
 * @param {string} jobId
 */
function fillTimeLeft(node, jobId) {
  const found = known.get(jobId);
  const has = found !== undefined && AT_WORK.has(found.status) && found.share !== null;
  node.textContent = has ? estimate(found.left.eta_seconds, found.left.eta_low, found.left.eta_high) : "–";
  return node;
}

/**
 * Steps done of all, and the epoch, of the newest figures.
 * @param {Partial<import("../shapes").Figures>} latest
 */
export function stepText(latest) {
  if (latest.step === undefined) return "";
  const step = t("figure.step", { step: number(latest.step), total: number(latest.total_steps) });
  return `${step} · ${t("figure.epoch", { epoch: number(latest.epoch, 2) })}`;
}

// The table of jobs: which of them, how far they are, and cancelling one.

import { addressWith, go, jobLink, onMove, place, showJob } from "./address.js";
import { get, remove } from "./api.js";
import { ask } from "./ask.js";
import { badge, byId, element, keyed, may, show } from "./dom.js";
import { meaning } from "./failures.js";
import { watch, watched } from "./log.js";
import { complain, repeat, say } from "./notices.js";
import { OVER, moodOf, progressOf, statusText, takeJob, timeLeftOf } from "./progress.js";
import { duration, kindName, moment, t } from "./texts.js";

/** @typedef {import("../shapes").JobShown} Job */

/** @type {("status" | "kind" | "role")[]} */
const FILTERS = ["status", "kind", "role"];
const MOST = 500;
const mayOperate = may("mayOperate");
let limit = 10;
export let refreshJobs = () => Promise.resolve();

export function startJobs() {
  byId("jobs-older").addEventListener("click", () => {
    limit = Math.min(MOST, limit * 3);
    refreshJobs();
  });
  for (const name of FILTERS) {
    const field = filterField(name);
    field.addEventListener("change", () => go({ [name]: field.value.trim() || null }));
  }
  byId("jobs-filter", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  byId("jobs-all").addEventListener("click", () => go({ status: null, kind: null, role: null }));
  let shown = showFilters();
  refreshJobs = repeat(async () => {
    const wanted = shown;
    /** @type {import("../shapes").JobsPage} */
    const page = await get(`/jobs?${new URLSearchParams({ limit: String(limit), ...wanted })}`);
    if (wanted === shown) fill(page, Object.keys(wanted).length > 0);
    if (watched() === null) follow(page.jobs);
    return wanted !== shown ? 0 : page.jobs.some((each) => !OVER.has(each.status)) ? 3 : 10;
  });
  onMove(() => {
    shown = showFilters();
    refreshJobs();
  });
  document.addEventListener("job-over", refreshJobs);
}

/**
 * @param {import("../shapes").JobsPage} page
 * @param {boolean} isFiltered
 */
function fill(page, isFiltered) {
  page.jobs.forEach(takeJob);
  keyed(byId("jobs"), page.jobs.map(asShown), (each) => each.job_id, row);
  const isEmpty = page.jobs.length === 0;
  show(byId("jobs-none"), isEmpty ? t(isFiltered ? "jobs.none_such" : "training.none") : null);
  byId("jobs-older").hidden = !page.has_more || limit >= MOST;
}

/**
 * Without a job in the address the newest training that goes on is followed.
 * @param {Job[]} jobs
 */
function follow(jobs) {
  const live = jobs.find((each) => each.kind === "training" && !OVER.has(each.status));
  if (live !== undefined && place().job === null) watch(live.job_id);
}

/**
 * Put the address's filters into their fields; what is asked of the API. One that is none is told and left out.
 * @returns {Record<string, string>}
 */
function showFilters() {
  const wrong = FILTERS.filter((name) => !offers(filterField(name), place()[name] ?? ""));
  const kept = FILTERS.filter((name) => !wrong.includes(name));
  for (const name of FILTERS) filterField(name).value = kept.includes(name) ? (place()[name] ?? "") : "";
  const told = wrong.map((name) => t("jobs.unknown_filter", { name: t(`filter.${name}`), value: place()[name] ?? "" }));
  show(byId("jobs-wrong"), told.join(" "));
  byId("jobs-all").hidden = FILTERS.every((name) => place()[name] === null);
  return Object.fromEntries(kept.map((name) => [name, place()[name] ?? ""]).filter(([, value]) => value !== ""));
}

/**
 * @param {HTMLInputElement | HTMLSelectElement} field
 * @param {string} value
 */
function offers(field, value) {
  if (field instanceof HTMLSelectElement) return [...field.options].some((each) => each.value === value);
  return value.length <= field.maxLength;
}

/** @param {"status" | "kind" | "role"} name */
function filterField(name) {
  return name === "role" ? byId("filter-role", HTMLInputElement) : byId(`filter-${name}`, HTMLSelectElement);
}

/**
 * Only what a row shows, so that a row stays as it is until that changes; its progress changes by itself.
 * @param {Job} job
 */
function asShown(job) {
  const { job_id, kind, status, created_at, failure } = job;
  const address = addressWith({ job: job_id });
  return { job_id, kind, status, created_at, failure, address, duration: secondsOf(job), chosen: watched() === job_id };
}

/** @param {Job} job */
function secondsOf(job) {
  if (job.started_at === null) return null;
  const end = job.finished_at === null ? Date.now() : Date.parse(job.finished_at);
  return Math.max(0, Math.round((end - Date.parse(job.started_at)) / 1000));
}

/** @param {ReturnType<typeof asShown>} job */
function row(job) {
  const why = meaning(job.failure?.code);
  return element(
    "tr",
    { class: job.chosen ? "chosen" : null },
    element("td", { class: "name" }, jobLink(job.job_id)),
    element("td", {}, kindName(job.kind)),
    element("td", {}, badge(statusText(job.status, job.failure), moodOf(job.status)), why === null ? null : element("small", { class: "why" }, why)),
    element("td", {}, progressOf(job.job_id)),
    element("td", {}, timeLeftOf(job.job_id)),
    element("td", {}, moment(job.created_at)),
    element("td", {}, duration(job.duration)),
    element("td", { class: "actions" }, ...actions(job)),
  );
}

/** @param {ReturnType<typeof asShown>} job */
function actions(job) {
  const look = element("button", { type: "button", "data-action": "watch", "aria-label": t("job.watch_one", { job: job.job_id }) }, t("job.watch"));
  look.addEventListener("click", () => showJob(job.job_id));
  if (OVER.has(job.status) || job.status === "cancelling" || !mayOperate) return [look];
  const stop = element("button", { type: "button", "data-action": "cancel", "aria-label": t("job.cancel_one", { job: job.job_id }) }, t("job.cancel"));
  stop.addEventListener("click", () => cancel(job.job_id, job.kind));
  return [look, " ", stop];
}

/**
 * Ask, and then cancel.
 * @param {string} jobId
 * @param {string} kind
 */
export async function cancel(jobId, kind) {
  const loses = kind === "training" ? "job.cancel_training" : "job.cancel_other";
  if (!(await ask({ title: t("job.cancel_sure", { job: jobId }), paragraphs: [t(loses)], yes: t("job.cancel_yes"), no: t("job.cancel_no") }))) return;
  try {
    /** @type {import("../shapes").JobMoved} */
    const moved = await remove(`/jobs/${encodeURIComponent(jobId)}`);
    say(t("job.cancelled", { job: jobId, status: t(`status.${moved.status}`) }));
  } catch (error) {
    complain(error);
  }
  refreshJobs();
}

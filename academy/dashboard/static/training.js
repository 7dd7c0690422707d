// The panel “Training”: starting one, and the table of jobs.

import { get, post, remove } from "./api.js";
import { badge, byId, element, keyed, may } from "./dom.js";
import { onSubmit } from "./forms.js";
import { watch, watched } from "./log.js";
import { complain, repeat, say } from "./notices.js";
import { duration, kindName, moment, percent, t } from "./texts.js";

/** @typedef {import("../shapes").JobShown} Job */

/** @type {Record<string, import("./dom.js").Mood>} */
const MOODS = { finished: "good", failed: "bad", cancelled: "quiet", paused: "quiet" };
const OVER = new Set(["finished", "failed", "cancelled"]);
const mayOperate = may("mayOperate");
let limit = 10;
let refresh = () => Promise.resolve();

export function startTraining() {
  onSubmit(byId("recipe", HTMLFormElement), async (recipe) => {
    /** @type {import("./api.js").Answered<import("../shapes").TrainingStarted>} */
    const { body } = await post("/train", recipe);
    say(t("training.started", { job: body.job_id }));
    watch(body.job_id);
    refresh();
  });
  byId("jobs-older").addEventListener("click", () => {
    limit = Math.min(500, limit * 3);
    refresh();
  });
  refresh = repeat(async () => {
    /** @type {import("../shapes").JobsPage} */
    const page = await get(`/jobs?limit=${limit}`);
    keyed(byId("jobs"), page.jobs.map(asShown), (each) => each.job_id, row);
    byId("jobs-none").hidden = page.jobs.length > 0;
    byId("jobs-older").hidden = !page.has_more || limit >= 500;
    if (watched() === null) {
      const live = page.jobs.find((each) => each.kind === "training" && !OVER.has(each.status));
      if (live !== undefined) watch(live.job_id);
    }
    return page.jobs.some((each) => !OVER.has(each.status)) ? 3 : 10;
  });
  document.addEventListener("job-over", refresh);
}

/**
 * Only what a row shows, so that a row stays as it is until that changes.
 * @param {Job} job
 */
function asShown(job) {
  const { job_id, kind, status, progress, created_at, failure } = job;
  return { job_id, kind, status, progress, created_at, failure, duration: secondsOf(job), chosen: watched() === job_id };
}

/** @param {Job} job */
function secondsOf(job) {
  if (job.started_at === null) return null;
  const end = job.finished_at === null ? Date.now() : Date.parse(job.finished_at);
  return Math.max(0, Math.round((end - Date.parse(job.started_at)) / 1000));
}

/** @param {ReturnType<typeof asShown>} job */
function row(job) {
  const status = badge(t(`status.${job.status}`), MOODS[job.status] ?? "busy");
  if (job.failure !== null) status.title = `${job.failure.message} ${job.failure.next_step ?? ""}`;
  const done = job.progress ?? 0;
  return element(
    "tr",
    { class: job.chosen ? "chosen" : null },
    element("td", { class: "name" }, job.job_id),
    element("td", {}, kindName(job.kind)),
    element("td", {}, status),
    element("td", {}, element("progress", { max: 1, value: done, "aria-label": t("figure.progress") }), ` ${percent(done)}`),
    element("td", {}, moment(job.created_at)),
    element("td", {}, duration(job.duration)),
    element("td", {}, ...actions(job)),
  );
}

/** @param {ReturnType<typeof asShown>} job */
function actions(job) {
  const look = element("button", { type: "button", "data-action": "watch", "aria-label": t("job.watch_one", { job: job.job_id }) }, t("job.watch"));
  look.addEventListener("click", () => {
    watch(job.job_id);
    refresh();
    byId("log-title").scrollIntoView({ block: "nearest" });
  });
  if (OVER.has(job.status) || job.status === "cancelling" || !mayOperate) return [look];
  const stop = element("button", { type: "button", "data-action": "cancel", "aria-label": t("job.cancel_one", { job: job.job_id }) }, t("job.cancel"));
  stop.addEventListener("click", () => cancel(job.job_id));
  return [look, " ", stop];
}

/** @param {string} jobId */
async function cancel(jobId) {
  if (!window.confirm(t("job.cancel_sure", { job: jobId }))) return;
  try {
    /** @type {import("../shapes").JobMoved} */
    const moved = await remove(`/train/${encodeURIComponent(jobId)}`);
    say(t("job.cancelled", { job: jobId, status: t(`status.${moved.status}`) }));
  } catch (error) {
    complain(error);
  }
  refresh();
}

// The panel “Sweeps”: the newest ones, and the trials of one of them.

import { showJob } from "./address.js";
import { get } from "./api.js";
import { badge, byId, element, keyed, show } from "./dom.js";
import { failureNodes } from "./failures.js";
import { repeat } from "./notices.js";
import { OVER, moodOf, statusText } from "./progress.js";
import { loss, named, number, t } from "./texts.js";

/** @typedef {import("../shapes").SweepShown} Sweep */
/** @typedef {import("../shapes").TrialShown} Trial */

const MOST = 5;
/**
 * Those that are over do not change any more, so they are asked for once.
 * @type {Map<string, Sweep>}
 */
const known = new Map();
/** @type {string | null} */
let shown = null;
let refresh = () => Promise.resolve();

export function startSweeps() {
  refresh = repeat(async () => {
    /** @type {import("../shapes").SweepsPage} */
    const { sweeps } = await get(`/train/sweep?limit=${MOST}`);
    const whole = await Promise.all(sweeps.map(details));
    shown ??= whole[0]?.sweep_id ?? null;
    keyed(byId("sweep-rows"), whole.map(asShown), (each) => each.sweep_id, row);
    byId("sweeps-none").hidden = whole.length > 0;
    const chosen = whole.find((each) => each.sweep_id === shown);
    byId("sweep").hidden = chosen === undefined;
    if (chosen !== undefined) reveal(chosen);
    return whole.some((each) => each.status === "running") ? 5 : 15;
  });
}

/**
 * @param {import("../shapes").SweepSummary} summary
 * @returns {Promise<Sweep>}
 */
async function details(summary) {
  const id = summary.sweep_id;
  const before = known.get(id);
  if (before !== undefined) return before;
  /** @type {Sweep} */
  const sweep = await get(`/train/sweep/${encodeURIComponent(id)}`);
  // The trials of a cancelled sweep may still be stopping.
  const isOver = sweep.status !== "running" && sweep.trials.every((each) => OVER.has(each.status));
  if (isOver) known.set(id, sweep);
  return sweep;
}

/** @param {Sweep} sweep */
function asShown(sweep) {
  const { sweep_id, name, status, method, max_trials, best } = sweep;
  const over = sweep.trials.filter((each) => OVER.has(each.status)).length;
  return { sweep_id, name, status, method, max_trials, best, over, chosen: sweep_id === shown };
}

/** @param {ReturnType<typeof asShown>} sweep */
function row(sweep) {
  const look = element("button", { type: "button", "data-action": "show", "aria-label": t("sweep.show_one", { sweep: sweep.sweep_id }) }, t("dataset.show"));
  look.addEventListener("click", () => {
    shown = sweep.sweep_id;
    refresh();
  });
  return element(
    "tr",
    { class: sweep.chosen ? "chosen" : null },
    element("td", { class: "name" }, sweep.name ?? sweep.sweep_id),
    element("td", {}, badge(t(`status.${sweep.status}`), moodOf(sweep.status))),
    element("td", {}, named("method", sweep.method)),
    element("td", {}, t("sweep.of", { over: number(sweep.over), most: number(sweep.max_trials) })),
    element("td", {}, sweep.best === null ? "–" : `${loss(sweep.best.loss)} · ${values(sweep.best)}`),
    element("td", {}, look),
  );
}

/** @param {Sweep} sweep */
function reveal(sweep) {
  byId("sweep-title").textContent = t("sweep.title", { sweep: sweep.name ?? sweep.sweep_id });
  show(byId("sweep-end"), sweep.ended_because);
  show(byId("sweep-note"), sweep.note);
  const trials = sweep.trials.map((each) => ({ ...each, isBest: each.job_id === sweep.best?.job_id }));
  keyed(byId("trials"), trials, (each) => each.job_id, trial);
}

/** @param {Trial & { isBest: boolean }} each */
function trial(each) {
  const look = element("button", { type: "button", "data-action": "watch", "aria-label": t("job.watch_one", { job: each.job_id }) }, number(each.number));
  look.addEventListener("click", () => showJob(each.job_id));
  const stopped = each.stopped_because === null ? [] : [element("span", { lang: "en" }, each.stopped_because)];
  const why = each.failure === null ? stopped : failureNodes(each.failure);
  return element(
    "tr",
    { class: each.isBest ? "chosen" : null },
    element("td", {}, look),
    element("td", { class: "name" }, values(each)),
    element("td", {}, badge(statusText(each.status, each.failure), moodOf(each.status)), why.length === 0 ? null : element("p", {}, element("small", {}, ...why))),
    element("td", {}, loss(each.loss), each.isBest ? ` ${t("trial.best")}` : null),
  );
}

/** @param {Trial} each */
function values(each) {
  return Object.entries(each.values)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(" ");
}

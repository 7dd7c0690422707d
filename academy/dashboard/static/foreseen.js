// What was foreseen of the watched training, beside what was measured of it.

import { get } from "./api.js";
import { byId, pair, show } from "./dom.js";
import { complain } from "./notices.js";
import { bytes, duration, t } from "./texts.js";

/** @typedef {import("../shapes").Foreseen} Foreseen */

/** @type {string | null} */
let wanted = null;

/**
 * Show it for a job that is over; nothing for null, and for a job that did not get so far.
 * @param {string | null} jobId
 */
export async function showForeseen(jobId) {
  wanted = jobId;
  byId("foreseen").hidden = true;
  if (jobId === null) return;
  try {
    /** @type {import("../shapes").JobStatus} */
    const job = await get(`/train/${encodeURIComponent(jobId)}/status`);
    const preflight = job.result?.summary?.preflight;
    if (wanted === jobId && preflight) fill(preflight);
  } catch (error) {
    complain(error);
  }
}

/** @param {Foreseen} preflight */
function fill(preflight) {
  byId("foreseen-figures").replaceChildren(
    ...both(t("foreseen.memory"), bytes(preflight.predicted_memory_bytes), bytes(preflight.measured_memory_bytes)),
    ...both(t("foreseen.time"), duration(preflight.predicted_seconds), duration(preflight.measured_seconds)),
  );
  const tried = preflight.tried ?? [];
  const [first, last] = [tried.at(0), tried.at(-1)];
  const isThriftier = first !== undefined && last !== undefined && first !== last;
  show(byId("foreseen-recipe"), isThriftier ? t("foreseen.recipe", { recipe: last.recipe, why: first.why ?? "" }) : null);
  byId("foreseen").hidden = false;
}

/**
 * @param {string} name
 * @param {string} predicted
 * @param {string} measured
 */
function both(name, predicted, measured) {
  return pair(name, t("foreseen.pair", { predicted, measured }));
}

// What was foreseen of the watched training, beside what was measured of it.

import { get } from "./api.js";
import { byId, element, show } from "./dom.js";
import { complain } from "./notices.js";
import { bytes, duration, t } from "./texts.js";

let wanted = null;

/** Show it for a job that is over; nothing for null, and for a job that did not get so far. */
export async function showForeseen(jobId) {
  wanted = jobId;
  byId("foreseen").hidden = true;
  if (jobId === null) return;
  try {
    const job = await get(`/train/${encodeURIComponent(jobId)}/status`);
    const preflight = job.result?.summary?.preflight;
    if (wanted === jobId && preflight) fill(preflight);
  } catch (error) {
    complain(error);
  }
}

function fill(preflight) {
  byId("foreseen-figures").replaceChildren(
    ...pair(t("foreseen.memory"), bytes(preflight.predicted_memory_bytes), bytes(preflight.measured_memory_bytes)),
    ...pair(t("foreseen.time"), duration(preflight.predicted_seconds), duration(preflight.measured_seconds)),
  );
  const tried = preflight.tried ?? [];
  const [first, last] = [tried.at(0), tried.at(-1)];
  show(byId("foreseen-recipe"), tried.length > 1 ? t("foreseen.recipe", { recipe: last.recipe, why: first.why ?? "" }) : null);
  byId("foreseen").hidden = false;
}

function pair(name, predicted, measured) {
  return [element("dt", {}, name), element("dd", {}, t("foreseen.pair", { predicted, measured }))];
}

// What is foreseen of a training before it is queued, and what was foreseen of the watched one beside
// what was measured of it.

import { get } from "./api.js";
import { badge, byId, element, pair, show } from "./dom.js";
import { complain } from "./notices.js";
import { estimate } from "./progress.js";
import { bytes, counted, duration, number, t } from "./texts.js";

/** @typedef {import("../shapes").Foreseen} Foreseen */
/** @typedef {import("../shapes").PreflightShown} Forecast */

/** @type {Record<Forecast["verdict"], import("./dom.js").Mood>} */
const MOODS = { ready: "good", no_worker: "busy", no_rows: "bad" };

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
    const job = await get(`/jobs/${encodeURIComponent(jobId)}`);
    const preflight = job.result?.summary?.preflight;
    if (wanted === jobId && preflight) fill(preflight);
  } catch (error) {
    complain(error);
  }
}

/**
 * Show what a training would be like; nothing for null.
 * @param {Forecast | null} forecast
 */
export function showForecast(forecast) {
  byId("forecast").hidden = forecast === null;
  if (forecast === null) return;
  const { tokens, worker_types: types } = forecast;
  byId("forecast-verdict").replaceChildren(
    badge(t(`forecast.${forecast.verdict}`), MOODS[forecast.verdict]),
    element("p", {}, element("small", { lang: "en" }, forecast.message)),
  );
  byId("forecast-figures").replaceChildren(
    ...pair(t("forecast.steps"), number(forecast.total_steps)),
    ...pair(t("forecast.rows"), counted("forecast.usable", tokens.usable_rows, { truncated: number(tokens.truncated_rows) })),
    ...pair(t("forecast.tokens"), t("forecast.learnt", { tokens: number(tokens.tokens), learnt: number(tokens.supervised_tokens) })),
    ...types.flatMap((each) => pair(each.device, ...onDevice(each))),
  );
}

/** @param {import("../shapes").ForecastShown} each */
function onDevice(each) {
  const time = estimate(each.seconds, each.seconds_low, each.seconds_high);
  const memory = t("gpu.memory", { used: bytes(each.memory?.["total"]), total: bytes(each.memory_available_bytes) });
  const why = each.could_take_it ? null : element("p", { class: "wrong", lang: "en" }, each.why_not.join(" "));
  return [`${t("foreseen.time")}: ${time} · ${memory}`, why];
}

/** @param {Foreseen} preflight */
function fill(preflight) {
  byId("foreseen-figures").replaceChildren(
    ...both(t("foreseen.memory"), bytes(preflight.predicted_memory_bytes), bytes(preflight.measured_memory_bytes)),
    ...both(t("foreseen.time"), estimate(preflight.predicted_seconds, null, null), duration(preflight.measured_seconds)),
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

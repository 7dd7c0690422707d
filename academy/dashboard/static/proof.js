// What an adapter has proved: its loss on held-out rows before and after, and how sure the gain is.

import { badge, pair } from "./dom.js";
import { counted, difference, loss, t } from "./texts.js";

/** @typedef {import("../shapes").Proof} Proof */
/** @typedef {"proven" | "worse" | "not_proven"} Verdict */

/** @type {Record<Verdict, import("./dom.js").Mood>} */
const MOODS = { proven: "good", worse: "bad", not_proven: "busy" };

/**
 * Whether it is proved that the adapter is better than its base model, or worse. Neither is, where the
 * interval of the gain holds zero or where there is no interval.
 * @param {Proof} metrics
 * @returns {Verdict}
 */
export function verdictOf({ gain }) {
  if (typeof gain?.low !== "number" || typeof gain.high !== "number") return "not_proven";
  if (gain.low > 0) return "proven";
  return gain.high < 0 ? "worse" : "not_proven";
}

/**
 * The losses and the gain, as names and values; the gain carries its verdict.
 * @param {Proof} metrics
 */
export function proof(metrics) {
  const { base_loss: base, adapter_loss: after, gain } = metrics;
  const verdict = verdictOf(metrics);
  const mark = badge(t(`adapters.${verdict}`), MOODS[verdict]);
  const losses = typeof base === "number" || typeof after === "number" ? pair(t("adapters.loss"), `${loss(base)} → ${loss(after)}`) : [];
  const found = gain ? `${difference(gain.mean)} (${interval(gain)}) ` : `${t("adapters.unmeasured")} `;
  return [...losses, ...pair(t("adapters.gain"), found, mark)];
}

/**
 * Why somebody should think twice before this adapter serves; null for one that is proved better.
 * @param {Proof} metrics
 */
export function doubt(metrics) {
  const verdict = verdictOf(metrics);
  if (verdict === "proven") return null;
  if (verdict === "worse") return t("doubt.worse");
  if (!metrics.gain) return t("doubt.unmeasured");
  return t(typeof metrics.gain.low === "number" ? "doubt.zero" : "doubt.too_few");
}

/** @param {NonNullable<Proof["gain"]>} gain */
function interval(gain) {
  if (typeof gain.low !== "number" || typeof gain.high !== "number") return counted("adapters.no_interval", gain.n);
  return counted("adapters.interval", gain.n, { low: difference(gain.low), high: difference(gain.high) });
}


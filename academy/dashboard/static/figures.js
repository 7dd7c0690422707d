// The figures of the watched job: progress, losses, the time left, and the curve.

import { byId, drawing } from "./dom.js";
import { duration, loss, number, percent, t } from "./texts.js";

/** @typedef {import("../shapes").Figures} Figures */

const MOST_POINTS = 400;
const WIDTH = 600;
const HEIGHT = 150;
const SMOOTHING = 0.15;

/**
 * Losses by step: a step that is done again after a resume counts once, with its last figures.
 * @type {Map<number, number>}
 */
let losses = new Map();
/** @type {Partial<Figures>} */
let latest = {};
let share = 0;
let isOver = false;

export function forgetFigures() {
  losses = new Map();
  latest = {};
  share = 0;
  isOver = false;
  drawFigures();
}

/** @param {Figures} event */
export function takeMetrics(event) {
  latest = event;
  share = event.progress ?? share;
  if (typeof event.loss === "number") losses.set(event.step, event.loss);
}

/**
 * The progress of a job without metrics, or the end of any.
 * @param {{ progress?: number | null, isOver?: boolean, isFinished?: boolean }} event
 */
export function takeProgress(event) {
  share = event.isFinished ? 1 : (event.progress ?? share);
  isOver ||= event.isOver === true;
}

export function drawFigures() {
  const points = [...losses].sort(([one], [other]) => one - other);
  const values = points.map(([, value]) => value);
  byId("log-progress", HTMLProgressElement).value = share;
  byId("log-percent").textContent = percent(share);
  byId("figure-now").textContent = loss(values.at(-1));
  byId("figure-best").textContent = loss(values.length ? values.reduce((low, each) => Math.min(low, each)) : null);
  byId("figure-average").textContent = loss(values.length ? values.reduce((sum, each) => sum + each, 0) / values.length : null);
  byId("figure-speed").textContent = number(latest.tokens_per_second, 0);
  byId("figure-eta").replaceChildren(...timeLeft());
  byId("figure-step").textContent = stepText();
  drawCurve(points);
}

function timeLeft() {
  if (isOver || latest.eta_seconds === null || latest.eta_seconds === undefined) return ["–"];
  const { eta_low: low, eta_high: high } = latest;
  const small = document.createElement("small");
  if (typeof low === "number" && typeof high === "number") {
    small.textContent = ` (${t("figure.eta_range", { low: duration(low), high: duration(high) })})`;
  }
  return [duration(latest.eta_seconds), small];
}

function stepText() {
  if (latest.step === undefined) return "";
  const step = t("figure.step", { step: number(latest.step), total: number(latest.total_steps) });
  return `${step} · ${t("figure.epoch", { epoch: number(latest.epoch, 2) })}`;
}

/** @param {[step: number, loss: number][]} points */
function drawCurve(points) {
  const [start, end] = [points.at(0), points.at(-1)];
  byId("curve").hidden = start === end;
  if (start === undefined || end === undefined || start === end) return;
  const values = points.map(([, value]) => value);
  const low = values.reduce((one, other) => Math.min(one, other));
  const high = values.reduce((one, other) => Math.max(one, other));
  const [[first, early], [last, newest]] = [start, end];
  byId("curve-low").textContent = loss(low);
  byId("curve-high").textContent = loss(high);
  byId("curve-first").textContent = number(first);
  byId("curve-last").textContent = number(last);
  /**
   * @param {number} step
   * @param {number} value
   */
  const place = (step, value) => {
    const x = ((step - first) / (last - first || 1)) * WIDTH;
    const y = 5 + (1 - (value - low) / (high - low || 1)) * (HEIGHT - 10);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  const every = Math.ceil(values.length / MOST_POINTS);
  /** @type {string[]} */
  const each = [];
  /** @type {string[]} */
  const smooth = [];
  let mean = early;
  points.forEach(([step, value], at) => {
    mean += SMOOTHING * (value - mean);
    if (at % every !== 0 && at !== values.length - 1) return;
    each.push(place(step, value));
    smooth.push(place(step, mean));
  });
  const words = { first: number(first), last: number(last), low: loss(low), high: loss(high), now: loss(newest) };
  byId("curve-svg", SVGSVGElement).replaceChildren(
    drawing("title", {}, t("figure.curve_text", words)),
    drawing("polyline", { class: "each", points: each.join(" ") }),
    drawing("polyline", { class: "smooth", points: smooth.join(" ") }),
  );
}

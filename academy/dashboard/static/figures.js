// The figures of the watched job: its losses and its speed. How far it is, `progress.js` tells.

import { drawCurve } from "./curve.js";
import { byId } from "./dom.js";
import { loss, number } from "./texts.js";
import { stepText } from "./progress.js";

/** @typedef {import("../shapes").Figures} Figures */

/**
 * Losses by step: a step that is done again after a resume counts once, with its last figures.
 * @type {Map<number, number>}
 */
let losses = new Map();
/**
 * Held-out losses by model and step; one that is measured again counts once.
 * @type {Map<string, import("./curve.js").HeldOut>}
 */
let heldOut = new Map();
/** @type {Partial<Figures>} */
let latest = {};

export function forgetFigures() {
  losses = new Map();
  heldOut = new Map();
  latest = {};
  drawFigures();
}

/** @param {Figures} event */
export function takeMetrics(event) {
  latest = event;
  if (typeof event.loss === "number") losses.set(event.step, event.loss);
}

/** @param {{ name: string, step: number, loss: number | null, rows: number }} event */
export function takeEvaluation(event) {
  const { name, step, loss: value, rows } = event;
  if (value !== null) heldOut.set(`${name} ${step}`, { name, step, loss: value, rows });
}

export function drawFigures() {
  const points = [...losses].sort(([one], [other]) => one - other);
  const values = points.map(([, value]) => value);
  byId("figure-now").textContent = loss(values.at(-1));
  byId("figure-best").textContent = loss(values.length ? values.reduce((low, each) => Math.min(low, each)) : null);
  byId("figure-average").textContent = loss(values.length ? values.reduce((sum, each) => sum + each, 0) / values.length : null);
  byId("figure-speed").textContent = number(latest.tokens_per_second, 0);
  byId("figure-step").textContent = stepText(latest);
  drawCurve(points, [...heldOut.values()].sort((one, other) => one.step - other.step));
}

// The curve of the watched training: its losses, their smoothed course, and the held-out losses.

import { byId, drawing, element } from "./dom.js";
import { counted, loss, named, number, t } from "./texts.js";

/** @typedef {[step: number, loss: number]} Point */
/** @typedef {{ name: string, step: number, loss: number, rows: number }} HeldOut  a loss on held-out rows */

const MOST_POINTS = 400;
const WIDTH = 600;
const HEIGHT = 150;
const KEPT = 0.85;

/**
 * The exponential moving average with the bias of its start taken out: the sum of weighted values is
 * divided by the weights that it has so far, 1 − kept^n (Kingma & Ba 2015, section 3). So the first
 * value counts no more than its weight, and a constant series stays constant from its first point.
 * @param {number[]} values
 * @param {number} kept  what a step leaves of the average, from 0 up to but not 1
 */
export function smoothed(values, kept = KEPT) {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum = kept * sum + (1 - kept) * value;
    weight = kept * weight + (1 - kept);
    return sum / weight;
  });
}

/**
 * Draw what there is; less than two marks are no curve.
 * @param {Point[]} points  by step
 * @param {HeldOut[]} heldOut  by step
 */
export function drawCurve(points, heldOut) {
  const marks = [...points, ...heldOut.map((each) => /** @type {Point} */ ([each.step, each.loss]))];
  byId("curve").hidden = marks.length < 2;
  if (marks.length < 2) return;
  const [first, last] = range(marks.map(([step]) => step));
  const [low, high] = range(marks.map(([, value]) => value));
  byId("curve-low").textContent = loss(low);
  byId("curve-high").textContent = loss(high);
  byId("curve-first").textContent = number(first);
  byId("curve-last").textContent = number(last);
  /**
   * @param {number} step
   * @param {number} value
   */
  const place = (step, value) => {
    const x = 6 + ((step - first) / (last - first || 1)) * (WIDTH - 12);
    const y = 8 + (1 - (value - low) / (high - low || 1)) * (HEIGHT - 16);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  const means = smoothed(points.map(([, value]) => value));
  const every = Math.ceil(points.length / MOST_POINTS);
  const seen = points.map(([step, value], at) => ({ step, value, mean: means[at] ?? value }));
  const drawn = seen.filter((_, at) => at % every === 0 || at === seen.length - 1);
  byId("curve-svg", SVGSVGElement).replaceChildren(
    drawing("title", {}, inWords(points, heldOut, { first, last, low, high })),
    drawing("polyline", { class: "each", points: drawn.map((each) => place(each.step, each.value)).join(" ") }),
    drawing("polyline", { class: "smooth", points: drawn.map((each) => place(each.step, each.mean)).join(" ") }),
    ...heldOut.flatMap((each) => mark(each, place(each.step, each.loss))),
  );
  byId("curve-heldout").hidden = heldOut.length === 0;
  byId("curve-heldout-list").replaceChildren(...heldOut.map((each) => element("li", {}, heldOutText(each))));
}

/**
 * A held-out loss in words, as the log, the mark's tip and the list beside the curve tell it.
 * @param {{ name: string, step: number, loss: number | null, rows: number }} each
 */
export function heldOutText(each) {
  return counted("log.evaluation", each.rows, { name: named("log", each.name), step: number(each.step), loss: loss(each.loss) });
}

/**
 * A mark that the stretching of the drawing does not distort: a line of no length has only its ends.
 * The base model's is a ring, the adapter's a square.
 * @param {HeldOut} each
 * @param {string} at
 */
function mark(each, at) {
  const tip = () => drawing("title", {}, heldOutText(each));
  const d = `M${at}h0`;
  if (each.name !== "base") return [drawing("path", { class: "heldout adapter", d }, tip())];
  return [drawing("path", { class: "heldout base", d }, tip()), drawing("path", { class: "heldout hole", d }, tip())];
}

/**
 * @param {Point[]} points
 * @param {HeldOut[]} heldOut
 * @param {{ first: number, last: number, low: number, high: number }} frame
 */
function inWords(points, heldOut, frame) {
  const { first, last, low, high } = frame;
  const now = points.at(-1)?.[1] ?? null;
  const text = t("figure.curve_text", { first: number(first), last: number(last), low: loss(low), high: loss(high), now: loss(now) });
  return [text, ...heldOut.map(heldOutText)].join(" ");
}

/**
 * The smallest and the largest of some numbers; there is at least one.
 * @param {number[]} values
 * @returns {[number, number]}
 */
function range(values) {
  return values.reduce(([low, high], each) => [Math.min(low, each), Math.max(high, each)], [Infinity, -Infinity]);
}

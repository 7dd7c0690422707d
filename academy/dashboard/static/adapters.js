// The panel “Adapters”: what was trained, what it proved, and which of it serves.

import { get, post } from "./api.js";
import { badge, byId, element, keyed, may, pair } from "./dom.js";
import { complain, repeat, say } from "./notices.js";
import { duration, loss, moment, number, t } from "./texts.js";

/** @typedef {import("../shapes").AdapterShown} Adapter */

const ALIAS = "default";
const mayActivate = may("mayActivate");
let limit = 12;
let refresh = () => Promise.resolve();
/**
 * The alias as it was last seen: moving it is refused if somebody else moved it since.
 * @type {{ generation: number, current: string | null, previous: string | null }}
 */
let seen = { generation: 0, current: null, previous: null };

export function startAdapters() {
  byId("adapters-deactivate").addEventListener("click", () => move(null));
  byId("adapters-back").addEventListener("click", () => move(seen.previous));
  byId("adapters-older").addEventListener("click", () => {
    limit = Math.min(500, limit * 3);
    refresh();
  });
  refresh = repeat(async () => {
    /** @type {[Adapter[], import("../shapes").AliasHistory]} */
    const [found, history] = await Promise.all([get(`/adapters?limit=${limit}`), get(`/aliases/${ALIAS}/history`)]);
    const last = history.moves[0];
    seen = {
      generation: last?.generation ?? 0,
      current: last?.to_adapter_id ?? null,
      previous: last?.from_adapter_id ?? null,
    };
    serving(last !== undefined);
    keyed(byId("adapter-list"), found, (each) => each.adapter_id, card);
    byId("adapters-none").hidden = found.length > 0;
    byId("adapters-older").hidden = found.length < limit || limit >= 500;
    return 10;
  });
  document.addEventListener("job-over", refresh);
}

/** @param {boolean} wasMoved */
function serving(wasMoved) {
  byId("adapters-serving").textContent = t("adapters.serving", { name: seen.current ?? t("adapters.base") });
  // The way back to the base model has a button of its own.
  byId("adapters-back").hidden = !mayActivate || !wasMoved || seen.previous === null;
  byId("adapters-back").textContent = t("adapters.back", { name: seen.previous ?? "" });
  byId("adapters-deactivate").hidden = !mayActivate || seen.current === null;
}

/** @param {Adapter} adapter */
function card(adapter) {
  const { metrics, training_params: parameters } = adapter;
  return element(
    "li",
    { class: adapter.is_active ? "active" : null },
    element(
      "div",
      { class: "heading" },
      element("h3", {}, adapter.adapter_id),
      adapter.is_active ? badge(t("adapters.active"), "good") : null,
    ),
    element(
      "dl",
      { class: "pairs" },
      ...proof(metrics),
      ...pair(t("adapters.model"), adapter.base_model),
      ...pair(t("adapters.made"), moment(adapter.created_at)),
      ...pair(t("adapters.data"), adapter.dataset_id ?? "–"),
      ...pair(t("adapters.digest"), adapter.digest.slice(0, 19)),
      ...(adapter.aliases.length ? pair(t("adapters.aliases"), adapter.aliases.join(", ")) : []),
    ),
    element(
      "details",
      {},
      element("summary", {}, t("adapters.parameters")),
      element("dl", { class: "pairs" }, ...Object.entries(parameters).flatMap(([name, value]) => pair(name, String(value)))),
    ),
    button(adapter),
  );
}

/**
 * The loss on held-out rows before and after, and how sure the gain is.
 * @param {import("../shapes").Proof} metrics
 */
function proof(metrics) {
  const { base_loss: base, adapter_loss: after, gain } = metrics;
  if (typeof base !== "number" && typeof after !== "number") return [];
  const rows = pair(t("adapters.base_loss"), `${loss(base)} → ${loss(after)}`);
  if (!gain) return rows;
  const sure =
    typeof gain.low === "number" && typeof gain.high === "number"
      ? t("adapters.interval", { low: loss(gain.low), high: loss(gain.high), rows: number(gain.n) })
      : t("adapters.unproved");
  return [...rows, ...pair(t("adapters.gain", { mean: loss(gain.mean) }), sure)];
}

/** @param {Adapter} adapter */
function button(adapter) {
  if (!mayActivate || adapter.is_active) return null;
  const made = element(
    "button",
    { type: "button", "data-action": "activate", "aria-label": t("adapters.activate_one", { id: adapter.adapter_id }) },
    t("adapters.activate"),
  );
  made.addEventListener("click", () => move(adapter.adapter_id));
  return made;
}

/**
 * Let `default` mean this adapter, or the base model; one move at a time.
 * @param {string | null} adapterId
 */
async function move(adapterId) {
  const buttons = byId("adapters").querySelectorAll("button");
  buttons.forEach((each) => (each.disabled = true));
  try {
    const wanted = { alias: ALIAS, expected_generation: seen.generation, reason: "dashboard" };
    if (adapterId === null) {
      await post("/adapters/deactivate", wanted);
      say(t("adapters.deactivated"));
    } else {
      /** @type {import("./api.js").Answered<import("../shapes").AliasMoved>} */
      const { body } = await post("/adapters/activate", { ...wanted, adapter_id: adapterId });
      say(t("adapters.activated", { id: adapterId, duration: duration(body.swap_seconds) }));
    }
  } catch (error) {
    complain(error);
  }
  buttons.forEach((each) => (each.disabled = false));
  refresh();
}

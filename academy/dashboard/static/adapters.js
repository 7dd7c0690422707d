// The panel “Adapters”: what was trained, what it proved, and which of it serves.

import { get, post } from "./api.js";
import { ask } from "./ask.js";
import { badge, byId, element, keyed, may, pair } from "./dom.js";
import { complain, repeat, say } from "./notices.js";
import { doubt, proof } from "./proof.js";
import { duration, moment, t } from "./texts.js";

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
 * Let `default` mean this adapter, or the base model; one move at a time. Whether an adapter is proved
 * to be better is looked up first, and where it is not the person is asked.
 * @param {string | null} adapterId
 */
async function move(adapterId) {
  const buttons = byId("adapters").querySelectorAll("button");
  const wanted = { alias: ALIAS, expected_generation: seen.generation, reason: "dashboard" };
  buttons.forEach((each) => (each.disabled = true));
  try {
    if (adapterId !== null && !(await isMeant(adapterId))) {
      say(t("adapters.left"));
    } else if (adapterId === null) {
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

/**
 * Whether the person wants this adapter, knowing what is not proved of it.
 * @param {string} adapterId
 */
async function isMeant(adapterId) {
  /** @type {Adapter} */
  const { metrics } = await get(`/adapters/${encodeURIComponent(adapterId)}`);
  const why = doubt(metrics);
  if (why === null) return true;
  return ask({
    title: t("adapters.sure", { id: adapterId }),
    paragraphs: [why],
    facts: proof(metrics),
    yes: t("adapters.sure_yes"),
    no: t("adapters.sure_no"),
  });
}

// The panel “Overview”: the system's status.

import { get } from "./api.js";
import { jobLink } from "./address.js";
import { badge, byId, element, label, pair } from "./dom.js";
import { repeat } from "./notices.js";
import { timeLeftOf } from "./progress.js";
import { bytes, clock, counted, has, named, number, percent, t } from "./texts.js";

/** @typedef {import("../shapes").SystemStatus} Status */
/** @typedef {Record<string, import("./dom.js").Mood>} Moods */

/** @type {Moods} */
const WORKER_MOODS = { idle: "good", working: "busy", blocked: "bad", draining: "quiet" };
/** @type {Moods} */
const MODEL_MOODS = { ready: "good", loading: "busy", draining: "busy" };
const SHOWN_ALWAYS = ["queued", "running", "finished", "failed"];

export function startOverview() {
  repeat(async () => {
    /** @type {Status} */
    const status = await get("/status");
    counts(status);
    components(status.components);
    gpus(status.gpu);
    workers(status);
    models(status.runtimes);
    config({ ...status.config, version: status.versions.academy });
    byId("overview-updated").textContent = t("updated", { time: clock() });
    return 10;
  });
}

/** @param {Status} status */
function counts(status) {
  byId("overview-lessons").textContent = number(status.lessons.total_lessons);
  const { total, ...byStatus } = status.jobs;
  const parts = Object.entries(byStatus)
    .filter(([name, count]) => count > 0 || SHOWN_ALWAYS.includes(name))
    .map(([name, count]) => `${t(`status.${name}`)}: ${number(count)}`);
  byId("overview-jobs").replaceChildren(`${number(total)} `, element("small", {}, `${t("jobs.total")} – ${parts.join(" · ")}`));
}

/** @param {Status["components"]} found */
function components(found) {
  byId("overview-components").replaceChildren(
    ...Object.entries(found).map(([name, works]) =>
      element("li", {}, badge(`${works ? "✓" : "✗"} ${t(`component.${name}`)}: ${t(works ? "yes" : "no")}`, works ? "good" : "quiet")),
    ),
  );
}

/** @param {Status["gpu"]} gpu */
function gpus(gpu) {
  const cards = gpu.devices.map((each) => {
    const used = each.memory_used_bytes;
    const total = each.memory_total_bytes;
    const memory = t("gpu.memory", { used: bytes(used), total: bytes(total) });
    const busy = each.utilization_percent ?? null;
    return element(
      "p",
      {},
      element("strong", {}, each.name ?? t("unknown")),
      element("br"),
      total ? element("meter", { min: 0, max: total, value: used ?? 0, "aria-label": memory }) : null,
      ` ${memory}`,
      busy === null ? null : ` · ${t("gpu.utilization", { percent: percent(busy / 100) })}`,
    );
  });
  if (!gpu.available) cards.push(element("p", {}, t("gpu.none")));
  else if (!gpu.enabled) cards.push(element("p", {}, t("gpu.idle")));
  byId("overview-gpus").replaceChildren(...cards);
}

/** @param {Status} status */
function workers(status) {
  const rows = status.workers.map((each) =>
    element(
      "tr",
      {},
      element("td", {}, named("queue", each.queue)),
      element("td", { class: "name" }, `${each.host} · ${each.pid}`),
      element("td", {}, ...stateOf(each)),
      element("td", {}, ...each.gpus.map(device)),
      element("td", {}, clock(each.last_seen_at)),
    ),
  );
  if (rows.length === 0) rows.push(element("tr", {}, element("td", { colspan: 5 }, t("workers.none"))));
  byId("overview-workers").replaceChildren(...rows);
  label(byId("overview-workers"));
  byId("overview-queues").replaceChildren(
    ...Object.entries(status.queues).map(([queue, count]) =>
      element("li", {}, badge(`${named("queue", queue)} · ${counted("queue.waiting", count)}`, count > 0 ? "busy" : "quiet")),
    ),
  );
}

/**
 * What a worker does, for how long yet, and what keeps it from taking jobs, in the words of its log.
 * @param {import("../shapes").WorkerShown} worker
 */
function stateOf(worker) {
  const state = badge(t(`worker.state.${worker.state}`), WORKER_MOODS[worker.state] ?? "quiet");
  const job = worker.job_id === null ? null : element("p", {}, jobLink(worker.job_id), " · ", timeLeftOf(worker.job_id));
  return [state, job, worker.obstacle === null ? null : element("p", { class: "wrong", lang: "en" }, worker.obstacle)];
}

/** @param {import("../shapes").Device} gpu */
function device(gpu) {
  const name = element("p", { title: gpu.uuid }, gpu.name ?? gpu.uuid ?? t("unknown"));
  if (gpu.job_id) name.append(element("br"), element("small", {}, jobLink(gpu.job_id)));
  if (gpu.obstacle) name.append(element("br"), element("span", { class: "wrong", lang: "en" }, gpu.obstacle));
  return name;
}

/** @param {Status["runtimes"]} runtimes */
function models(runtimes) {
  byId("overview-models").replaceChildren(
    ...runtimes.map((each) => {
      return element("li", { title: each.detail }, badge(`${each.url} · ${named("state", each.state)}`, MODEL_MOODS[each.state] ?? "bad"));
    }),
  );
}

/** @param {import("../shapes").Open} found */
function config(found) {
  byId("overview-config").replaceChildren(
    ...Object.entries(found).flatMap(([name, value]) =>
      pair(has(`config.${name}`) ? t(`config.${name}`) : name, typeof value === "number" ? number(value, 2) : String(value)),
    ),
  );
}

// The panel “Schedules”: when the next job is submitted, and what came of the last time.

import { jobLink } from "./address.js";
import { get } from "./api.js";
import { badge, byId, element, keyed } from "./dom.js";
import { failureNodes } from "./failures.js";
import { repeat } from "./notices.js";
import { duration, kindName, moment, t } from "./texts.js";

/** @typedef {import("../shapes").ScheduleShown} Schedule */

/** @type {Record<string, import("./dom.js").Mood>} */
const MOODS = { submitted: "good", refused: "bad", skipped: "quiet" };
const MOST = 100;

export function startSchedules() {
  repeat(async () => {
    /** @type {import("../shapes").SchedulesPage} */
    const { schedules } = await get(`/schedules?limit=${MOST}`);
    keyed(byId("schedule-rows"), schedules, (each) => each.name, row);
    byId("schedules-none").hidden = schedules.length > 0;
    return 15;
  });
}

/** @param {Schedule} each */
function row(each) {
  const when = each.cron === null ? t("schedule.every", { duration: duration(each.every) }) : `${each.cron} (${each.time_zone})`;
  return element(
    "tr",
    {},
    element("td", { class: "name" }, each.name),
    element("td", {}, kindName(each.kind)),
    element("td", {}, when),
    element("td", {}, each.enabled ? moment(each.next_at) : t("schedule.off")),
    element("td", {}, ...outcome(each)),
  );
}

/** @param {Schedule} each */
function outcome(each) {
  if (each.last_outcome === null) return ["–"];
  return [
    badge(t(`schedule.${each.last_outcome}`), MOODS[each.last_outcome] ?? "quiet"),
    ` ${moment(each.last_at)}`,
    element("p", {}, element("small", {}, ...detail(each))),
  ];
}

/** @param {Schedule} each */
function detail(each) {
  if (each.last_outcome === "submitted" && each.last_job_id !== null) return [jobLink(each.last_job_id)];
  if (each.last_outcome === "refused" && each.last_refusal !== null) return failureNodes(each.last_refusal);
  if (each.last_outcome === "skipped" && each.last_skip !== null) return [element("span", { lang: "en" }, each.last_skip.message)];
  return [];
}

// The panel “Dataset”: having one made, and what came of it.

import { BASE, Problem, get, post } from "./api.js";
import { byId, element, keyed } from "./dom.js";
import { onSubmit } from "./forms.js";
import { repeat, say } from "./notices.js";
import { moment, number, t } from "./texts.js";

const FIGURES = [
  "total_examples",
  "lessons_collected",
  "git_commits_collected",
  "git_commits_skipped",
  "tasks_collected",
  "removed_low_quality",
  "avg_input_length",
  "avg_output_length",
];
let shown = null;

export function startDataset() {
  const refresh = repeat(async () => {
    const { datasets } = await get("/datasets?limit=10");
    keyed(byId("datasets"), datasets, (each) => each.dataset_id, row);
    offer(datasets);
    if (shown === null && datasets.length > 0) reveal(datasets[0]);
    return 15;
  });
  onSubmit(byId("curation"), async (wanted) => {
    try {
      const made = await curate(wanted);
      byId("curation-state").textContent = "";
      say(t("dataset.done", { id: made.dataset_id, rows: number(made.statistics.total_examples) }));
      reveal(made);
    } finally {
      byId("curation-state").textContent = "";
      refresh();
    }
  });
}

/** Ask for a dataset and wait for it: at first in the request itself, then by asking again. */
async function curate(wanted) {
  let answer = await post("/dataset", wanted, {
    Prefer: "wait=1",
    "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()).slice(2),
  });
  const path = answer.headers.get("Location");
  while (answer.status === 202) {
    byId("curation-state").textContent = t("dataset.working", { job: answer.body.job_id });
    await new Promise((go) => setTimeout(go, 1000));
    answer = await again(path, answer);
  }
  return answer.body;
}

/** The job goes on even when one question is lost, so only a refusal ends the wait. */
async function again(path, before) {
  try {
    const body = await get(path);
    return body.dataset_id ? { status: 200, body } : { status: 202, body };
  } catch (error) {
    if (error instanceof Problem && error.status < 500) throw error;
    return before;
  }
}

function row(each) {
  const button = element("button", { type: "button", "data-action": "show", "aria-label": `${t("dataset.show")} ${each.dataset_id}` }, t("dataset.show"));
  button.addEventListener("click", () => reveal(each));
  return element(
    "tr",
    {},
    element("td", { class: "name" }, each.dataset_id),
    element("td", {}, `${number(each.train_rows)} / ${number(each.heldout_rows)}`),
    element("td", {}, t(`choice.${each.format}`)),
    element("td", {}, moment(each.created_at)),
    element("td", {}, button),
  );
}

/** The statistics of a dataset, as the list or a finished curation gives them. */
function reveal(dataset) {
  shown = dataset.dataset_id;
  const statistics = dataset.statistics;
  const filters = Object.entries(statistics.filters ?? {}).map(([name, found]) => [name, found?.dropped ?? found]);
  const dropped = filters.filter(([, count]) => typeof count === "number" && count > 0);
  byId("dataset-shown").replaceChildren(
    element(
      "dl",
      { class: "pairs" },
      ...pair(t("dataset.id"), dataset.dataset_id),
      ...FIGURES.filter((name) => name in statistics).flatMap((name) => pair(t(`stat.${name}`), number(statistics[name], 1))),
      ...(dropped.length > 0
        ? pair(t("stat.filters"), dropped.map(([name, count]) => `${name}: ${number(count)}`).join(" · "))
        : []),
      ...pair(t("dataset.path"), dataset.dataset_path),
    ),
    element("a", { href: `${BASE}/datasets/${encodeURIComponent(dataset.dataset_id)}/download`, download: true }, t("dataset.download")),
  );
}

function pair(name, value) {
  return [element("dt", {}, name), element("dd", {}, value)];
}

/** The datasets as choices of the training form; what was chosen stays. */
function offer(datasets) {
  const select = byId("recipe-dataset_id");
  const chosen = select.value;
  const newest = select.options[0];
  select.replaceChildren(
    newest,
    ...datasets.map((each) =>
      element("option", { value: each.dataset_id }, t("dataset.option", { id: each.dataset_id, rows: number(each.train_rows), format: t(`choice.${each.format}`) })),
    ),
  );
  select.value = datasets.some((each) => each.dataset_id === chosen) ? chosen : "";
}

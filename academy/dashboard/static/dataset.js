// The panel “Dataset”: having one made, and what came of it.

import { BASE, Problem, get, post } from "./api.js";
import { byId, element, keyed, pair } from "./dom.js";
import { onSubmit } from "./forms.js";
import { repeat, say } from "./notices.js";
import { counted, moment, named, number, t } from "./texts.js";

/** @typedef {import("../shapes").DatasetShown} Dataset */
/** @typedef {import("../shapes").DatasetCurated} Curated */
/** @typedef {import("../shapes").CurationStarted} Started */

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
/** @type {string | null} */
let shown = null;

export function startDataset() {
  const refresh = repeat(async () => {
    /** @type {import("../shapes").DatasetsPage} */
    const { datasets } = await get("/datasets?limit=10");
    keyed(byId("datasets"), datasets, (each) => each.dataset_id, row);
    offer(datasets);
    const [newest] = datasets;
    if (shown === null && newest !== undefined) reveal(newest);
    return 15;
  });
  onSubmit(byId("curation", HTMLFormElement), async (wanted) => {
    try {
      const made = await curate(wanted);
      say(counted("dataset.done", made.statistics.total_examples, { id: made.dataset_id }));
      reveal(made);
    } finally {
      byId("curation-state").textContent = "";
      refresh();
    }
  });
}

/**
 * Ask for a dataset and wait for it: at first in the request itself, then by asking again.
 * @param {object} wanted
 * @returns {Promise<Curated>}
 */
async function curate(wanted) {
  /** @type {import("./api.js").Answered<Curated | Started>} */
  const answer = await post("/dataset", wanted, {
    Prefer: "wait=1",
    "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()).slice(2),
  });
  let { body } = answer;
  while (!isCurated(body)) {
    byId("curation-state").textContent = t("dataset.working", { job: body.job_id });
    await new Promise((go) => setTimeout(go, 1000));
    body = await again(answer.headers.get("Location") ?? "", body);
  }
  return body;
}

/**
 * Whether the dataset is ready.
 * @param {Curated | Started} body
 * @returns {body is Curated}
 */
function isCurated(body) {
  return "dataset_id" in body && Boolean(body.dataset_id);
}

/**
 * The job goes on even when one question is lost, so only a refusal ends the wait.
 * @param {string} path
 * @param {Started} before
 * @returns {Promise<Curated | Started>}
 */
async function again(path, before) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof Problem && error.status < 500) throw error;
    return before;
  }
}

/** @param {Dataset} each */
function row(each) {
  const button = element("button", { type: "button", "data-action": "show", "aria-label": t("dataset.show_one", { dataset: each.dataset_id }) }, t("dataset.show"));
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

/**
 * The statistics of a dataset, as the list or a finished curation gives them.
 * @param {Dataset | Curated} dataset
 */
function reveal(dataset) {
  shown = dataset.dataset_id;
  const statistics = dataset.statistics;
  const dropped = Object.entries(statistics.filters ?? {}).filter(([, count]) => count > 0);
  byId("dataset-shown").replaceChildren(
    element(
      "dl",
      { class: "pairs" },
      ...pair(t("dataset.id"), dataset.dataset_id),
      ...FIGURES.flatMap((name) => {
        const figure = statistics[name];
        return typeof figure === "number" ? pair(t(`stat.${name}`), number(figure, 1)) : [];
      }),
      ...(dropped.length > 0
        ? pair(t("stat.filters"), dropped.map(([name, count]) => `${named("drop", name)}: ${number(count)}`).join(" · "))
        : []),
      ...pair(t("dataset.path"), dataset.dataset_path),
    ),
    element("a", { href: `${BASE}/datasets/${encodeURIComponent(dataset.dataset_id)}/download`, download: true }, t("dataset.download")),
  );
}

/**
 * The datasets as choices of the training form; what was chosen stays.
 * @param {Dataset[]} datasets
 */
function offer(datasets) {
  const select = byId("recipe-dataset_id", HTMLSelectElement);
  const chosen = select.value;
  select.replaceChildren(
    ...[...select.options].slice(0, 1), // “the newest one”, which the template wrote
    ...datasets.map((each) =>
      element("option", { value: each.dataset_id }, counted("dataset.option", each.train_rows, { id: each.dataset_id, format: t(`choice.${each.format}`) })),
    ),
  );
  select.value = datasets.some((each) => each.dataset_id === chosen) ? chosen : "";
}

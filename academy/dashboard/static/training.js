// The panel “Training”: what a training would take, and starting one. Its table of jobs is in `jobs.js`.

import { showJob } from "./address.js";
import { post } from "./api.js";
import { showForecast } from "./foreseen.js";
import { byId } from "./dom.js";
import { onSubmit } from "./forms.js";
import { refreshJobs } from "./jobs.js";
import { say } from "./notices.js";
import { t } from "./texts.js";

export function startTraining() {
  onSubmit(byId("recipe", HTMLFormElement), async (recipe, intent) => {
    if (intent === "preflight") return forecast(recipe);
    showForecast(null);
    /** @type {import("./api.js").Answered<import("../shapes").TrainingStarted>} */
    const { body } = await post("/train", recipe);
    say(t("training.started", { job: body.job_id }));
    showJob(body.job_id);
    refreshJobs();
  });
}

/** @param {import("./forms.js").Values} recipe */
async function forecast(recipe) {
  showForecast(null);
  /** @type {import("./api.js").Answered<import("../shapes").PreflightShown>} */
  const { body } = await post("/train/preflight", recipe);
  showForecast(body);
}

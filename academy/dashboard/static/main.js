// The dashboard starts here, one module for each panel.

import { startAdapters } from "./adapters.js";
import { startAddress } from "./address.js";
import { signOut } from "./api.js";
import { startDataset } from "./dataset.js";
import { byId } from "./dom.js";
import { localizeRanges } from "./forms.js";
import { startJobs } from "./jobs.js";
import { startLog } from "./log.js";
import { complain } from "./notices.js";
import { startOverview } from "./overview.js";
import { startSchedules } from "./schedules.js";
import { startSweeps } from "./sweeps.js";
import { loadTexts } from "./texts.js";
import { startTraining } from "./training.js";

byId("sign-out").addEventListener("click", async () => {
  try {
    await signOut();
    location.reload();
  } catch (error) {
    complain(error);
  }
});

await loadTexts();
startAddress();
localizeRanges();
startOverview();
startDataset();
startLog();
startJobs();
startTraining();
startSweeps();
startSchedules();
startAdapters();

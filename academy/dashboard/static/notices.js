// What the page says about itself: news politely, trouble at once.

import { Problem } from "./api.js";
import { byId, show } from "./dom.js";
import { failureText } from "./failures.js";
import { t } from "./texts.js";

const SAID_MILLISECONDS = 15_000;
let sessionIsOver = false;
/** @type {number | undefined} */
let forgetting;

/**
 * Tell something that went well, for a while.
 * @param {string} text
 */
export function say(text) {
  calm();
  byId("said").textContent = text;
  clearTimeout(forgetting);
  forgetting = setTimeout(() => (byId("said").textContent = ""), SAID_MILLISECONDS);
}

/**
 * Tell what an action ran into.
 * @param {unknown} error
 */
export function complain(error) {
  sessionIsOver ||= error instanceof Problem && error.status === 401;
  show(byId("trouble"), sessionIsOver ? t("session_over") : wordsOf(error));
}

/**
 * An error in words. What the server refused, its code tells, and it itself; a lost connection is ours to tell.
 * @param {unknown} error
 */
export function wordsOf(error) {
  return error instanceof Problem ? failureText(error) : t("offline");
}

/** The server answered again. */
export function calm() {
  if (!sessionIsOver) show(byId("trouble"), null);
}

/**
 * Run `refresh` now and every so often while the page is seen; it tells the seconds until the next.
 * @param {() => Promise<number>} refresh
 * @returns {() => Promise<void>} what refreshes at once
 */
export function repeat(refresh) {
  /** @type {number | undefined} */
  let timer;
  let isRunning = false;
  async function run() {
    clearTimeout(timer);
    if (isRunning || sessionIsOver) return;
    isRunning = true;
    let seconds = 10;
    try {
      if (!document.hidden) seconds = await refresh();
      if (byId("trouble").dataset.from === "refresh") calm();
      delete byId("trouble").dataset.from;
    } catch (error) {
      complain(error);
      byId("trouble").dataset.from = "refresh";
    }
    isRunning = false;
    timer = setTimeout(run, seconds * 1000);
  }
  document.addEventListener("visibilitychange", () => document.hidden || run());
  run();
  return run;
}

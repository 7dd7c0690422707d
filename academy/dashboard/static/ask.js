// A question before something that cannot be taken back, or that should be meant.

import { byId, element } from "./dom.js";

/**
 * Whether the person says yes. The focus begins on “no”, which Escape means, too.
 * @param {{ title: string, paragraphs: string[], facts?: HTMLElement[], yes: string, no: string }} question
 * @returns {Promise<boolean>}
 */
export function ask(question) {
  const dialog = byId("ask", HTMLDialogElement);
  byId("ask-title").textContent = question.title;
  byId("ask-body").replaceChildren(
    ...question.paragraphs.map((each) => element("p", {}, each)),
    ...(question.facts?.length ? [element("dl", { class: "pairs" }, ...question.facts)] : []),
  );
  byId("ask-yes").textContent = question.yes;
  byId("ask-no").textContent = question.no;
  if (dialog.open) dialog.close("no");
  dialog.returnValue = "no";
  dialog.showModal();
  byId("ask-no").focus();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }));
}

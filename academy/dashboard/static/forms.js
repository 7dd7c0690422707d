// Reading a form, and putting the API's answer beside the fields that it is about.

import { Problem } from "./api.js";
import { byId, show } from "./dom.js";
import { wordsOf } from "./notices.js";
import { exact, t } from "./texts.js";

/** @typedef {HTMLInputElement | HTMLSelectElement} Field */
/** @typedef {Record<string, string | number | boolean>} Values */

/**
 * Call `send(values, intent)` when the form is sent; one at a time, errors shown at their fields. The
 * intent is the value of the button that was pressed.
 * @param {HTMLFormElement} form
 * @param {(values: Values, intent: string) => Promise<void>} send
 */
export function onSubmit(form, send) {
  const buttons = [...form.elements].filter((each) => each instanceof HTMLButtonElement);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (buttons.some((each) => each.disabled)) return;
    clear(form);
    if (!check(form)) return;
    const intent = event.submitter instanceof HTMLButtonElement ? event.submitter.value : "";
    buttons.forEach((each) => (each.disabled = true));
    try {
      await send(values(form), intent);
    } catch (error) {
      complain(form, error);
    } finally {
      buttons.forEach((each) => (each.disabled = false));
    }
  });
}

/** Write the limits of numbers as the browser's region writes numbers, as their fields do. */
export function localizeRanges() {
  for (const node of document.querySelectorAll("[data-range]")) {
    const { low, above, high } = /** @type {HTMLElement} */ (node).dataset;
    const least = above === undefined ? (low === undefined ? null : exact(Number(low))) : `> ${exact(Number(above))}`;
    if (least === null) continue;
    const open = above === undefined ? `≥ ${least}` : least;
    node.textContent = high === undefined ? open : `${least} – ${exact(Number(high))}`;
  }
}

/**
 * The fields that say of what kind they are.
 * @param {HTMLFormElement} form
 */
function fieldsOf(form) {
  return [...form.elements].filter(isField).filter((each) => each.dataset.kind !== undefined);
}

/**
 * @param {unknown} node
 * @returns {node is Field}
 */
function isField(node) {
  return node instanceof HTMLInputElement || node instanceof HTMLSelectElement;
}

/**
 * The fields by name; an empty one is left out, so that the API's default holds.
 * @param {HTMLFormElement} form
 */
function values(form) {
  /** @type {Values} */
  const found = {};
  for (const input of fieldsOf(form)) {
    if (input instanceof HTMLInputElement && input.type === "checkbox") found[input.name] = input.checked;
    else if (input.value === "") continue;
    else found[input.name] = input.dataset.kind === "number" ? Number(input.value) : input.value;
  }
  return found;
}

/** @param {HTMLFormElement} form */
function check(form) {
  const wrong = fieldsOf(form).filter((input) => !input.validity.valid);
  for (const input of wrong) mark(input, input.validationMessage);
  const [first] = wrong;
  if (first === undefined) return true;
  show(byId(`${form.id}-error`), t("form.wrong"));
  reveal(first);
  return false;
}

/**
 * @param {HTMLFormElement} form
 * @param {unknown} error
 */
function complain(form, error) {
  show(byId(`${form.id}-error`), wordsOf(error));
  if (!(error instanceof Problem)) return;
  const fields = error.errors.map((each) => {
    const input = form.elements.namedItem((each.pointer ?? "").slice(1));
    if (!isField(input)) return null;
    mark(input, each.allowed ? `${each.detail} (${each.allowed})` : each.detail, "en");
    return input;
  });
  const first = fields.find((each) => each !== null);
  if (first) reveal(first);
}

/**
 * @param {Field} input
 * @param {string} text
 * @param {string} language  of the text, where it is not the page's
 */
function mark(input, text, language = document.documentElement.lang) {
  input.setAttribute("aria-invalid", "true");
  show(byId(`${input.id}-error`), text);
  byId(`${input.id}-error`).lang = language;
}

/** @param {Field} input */
function reveal(input) {
  const details = input.closest("details");
  if (details !== null) details.open = true;
  input.focus();
}

/** @param {HTMLFormElement} form */
function clear(form) {
  show(byId(`${form.id}-error`), null);
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    show(byId(`${input.id}-error`), null);
  }
}

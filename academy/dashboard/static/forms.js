// Reading a form, and putting the API's answer beside the fields that it is about.

import { Problem } from "./api.js";
import { byId, show } from "./dom.js";
import { wordsOf } from "./notices.js";
import { t } from "./texts.js";

/** @typedef {HTMLInputElement | HTMLSelectElement} Field */
/** @typedef {Record<string, string | number | boolean>} Values */

/**
 * Call `send(values)` when the form is sent; one at a time, errors shown at their fields.
 * @param {HTMLFormElement} form
 * @param {(values: Values) => Promise<void>} send
 */
export function onSubmit(form, send) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button[type=submit]"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    clear(form);
    if (!check(form)) return;
    button.disabled = true;
    try {
      await send(values(form));
    } catch (error) {
      complain(form, error);
    } finally {
      button.disabled = false;
    }
  });
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
    mark(input, each.allowed ? `${each.detail} (${each.allowed})` : each.detail);
    return input;
  });
  const first = fields.find((each) => each !== null);
  if (first) reveal(first);
}

/**
 * @param {Field} input
 * @param {string} text
 */
function mark(input, text) {
  input.setAttribute("aria-invalid", "true");
  show(byId(`${input.id}-error`), text);
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

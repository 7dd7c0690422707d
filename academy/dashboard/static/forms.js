// Reading a form, and putting the API's answer beside the fields that it is about.

import { Problem } from "./api.js";
import { byId, show } from "./dom.js";
import { wordsOf } from "./notices.js";
import { t } from "./texts.js";

/** Call `send(values)` when the form is sent; one at a time, errors shown at their fields. */
export function onSubmit(form, send) {
  const button = form.querySelector("[type=submit]");
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

/** The fields by name; an empty one is left out, so that the API's default holds. */
function values(form) {
  const found = {};
  for (const input of form.querySelectorAll("[data-kind]")) {
    if (input.dataset.kind === "switch") found[input.name] = input.checked;
    else if (input.value === "") continue;
    else found[input.name] = input.dataset.kind === "number" ? input.valueAsNumber : input.value;
  }
  return found;
}

function check(form) {
  const wrong = [...form.querySelectorAll("[data-kind]")].filter((input) => !input.validity.valid);
  for (const input of wrong) mark(input, input.validationMessage);
  if (wrong.length > 0) {
    show(byId(`${form.id}-error`), t("form.wrong"));
    reveal(wrong[0]);
  }
  return wrong.length === 0;
}

function complain(form, error) {
  show(byId(`${form.id}-error`), wordsOf(error));
  if (!(error instanceof Problem)) return;
  let first = null;
  for (const each of error.errors) {
    const input = form.elements.namedItem((each.pointer ?? "").slice(1));
    if (!(input instanceof HTMLElement)) continue;
    mark(input, each.allowed ? `${each.detail} (${each.allowed})` : each.detail);
    first ??= input;
  }
  if (first !== null) reveal(first);
}

function mark(input, text) {
  input.setAttribute("aria-invalid", "true");
  show(byId(`${input.id}-error`), text);
}

function reveal(input) {
  const details = input.closest("details");
  if (details !== null) details.open = true;
  input.focus();
}

function clear(form) {
  show(byId(`${form.id}-error`), null);
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    show(byId(`${input.id}-error`), null);
  }
}

// Failures and refusals in the page's language: each code has its words, and the server's own follow.

import { element } from "./dom.js";
import { has, t } from "./texts.js";

/** @typedef {{ code?: string | undefined, message: string, next_step?: string | null | undefined }} Told  by the server, in English */

/**
 * What a code means, in a sentence; null for a code that the page does not know.
 * @param {string | undefined} code
 */
export function meaning(code) {
  const key = `failure.${code}`;
  return has(key) ? t(key) : null;
}

/**
 * A failure as text: what its code means, then what the server says of this very case.
 * @param {Told} told
 */
export function failureText(told) {
  return [meaning(told.code), told.message, told.next_step].filter(Boolean).join(" ");
}

/**
 * The same to be shown, with the server's words marked as the English that they are.
 * @param {Told} told
 */
export function failureNodes(told) {
  const words = [told.message, told.next_step].filter(Boolean).join(" ");
  const known = meaning(told.code);
  return [known === null ? null : element("strong", {}, known), known === null ? null : " ", element("span", { lang: "en" }, words)];
}

// Texts, numbers and times in the language of the page.

const language = document.documentElement.lang;
/** @type {Record<string, string>} */
let texts = {};

/** Fetch the texts once, before anything is shown. */
export async function loadTexts() {
  texts = await (await fetch(new URL(`texts/${language}.json`, import.meta.url))).json();
}

/**
 * The text of a key with its {fields} filled in.
 * @param {string} key
 * @param {Record<string, string>} fields
 */
export function t(key, fields = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => fields[name] ?? whole);
}

/**
 * Whether there is a text for the key.
 * @param {string} key
 */
export function has(key) {
  return key in texts;
}

/**
 * What a kind of job is called: as its declaration says, which the page carries, else by its name.
 * @param {string} kind
 */
export function kindName(kind) {
  /** @type {Record<string, string>} */
  const titles = JSON.parse(document.body.dataset["kinds"] ?? "{}");
  return titles[kind] ?? kind;
}

/**
 * A number with at most so many decimals; a dash for none.
 * @param {number | null | undefined} value
 */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(language, {
    minimumFractionDigits: Number.isInteger(value) ? 0 : digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/**
 * A loss; always with three decimals, so that columns do not jump.
 * @param {number | null | undefined} value
 */
export function loss(value) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(language, { minimumFractionDigits: 3, maximumFractionDigits: 3 }).format(value);
}

/**
 * A share as a percentage.
 * @param {number} share
 */
export function percent(share) {
  return new Intl.NumberFormat(language, { style: "percent" }).format(share);
}

/**
 * Bytes as GiB.
 * @param {number | null | undefined} value
 */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const gib = value / 2 ** 30;
  return `${number(gib, gib < 10 ? 1 : 0)} GiB`;
}

/**
 * A moment as date and time of day.
 * @param {string | null} iso
 */
export function moment(iso) {
  if (!iso) return "–";
  return new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "short" }).format(new Date(iso));
}

/**
 * Only the time of day; that of now if none is given.
 * @param {string} [iso]
 */
export function clock(iso) {
  return new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(iso ? new Date(iso) : new Date());
}

/**
 * Seconds as the two largest units, such as “3 min 20 s”.
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${number(Math.max(0, seconds), 2)} s`;
  const whole = Math.round(seconds);
  /** @type {[number, string][]} */
  const parts = [
    [Math.floor(whole / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first, first + 2).map(([count, unit]) => `${number(count)} ${unit}`).join(" ");
}

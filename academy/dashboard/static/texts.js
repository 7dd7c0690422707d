// Texts in the page's language; numbers, dates and times as the browser's region writes them.

/** @typedef {Record<string, string>} Forms  a text in its plural forms, by the names of `Intl.PluralRules` */
/** @typedef {string | number} Filling */

const language = document.documentElement.lang;
/** Words of a unit are the page's: “3 Std.” on a German page, wherever the browser is at home. */
const wording = navigator.languages.find((each) => each.split("-")[0] === language) ?? language;
const region = navigator.language;
const plurals = new Intl.PluralRules(language);
/** @type {["day" | "hour" | "minute" | "second", number][]} */
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
/** @type {Record<string, string | Forms>} */
let texts = {};

/** Fetch the texts once, before anything is shown. */
export async function loadTexts() {
  const names = [`texts/${language}.json`, `texts/failures/${language}.json`];
  const answers = await Promise.all(names.map((name) => fetch(new URL(name, import.meta.url))));
  texts = Object.assign({}, ...(await Promise.all(answers.map((answer) => answer.json()))));
}

/**
 * The text of a key with its {fields} filled in.
 * @param {string} key
 * @param {Record<string, Filling>} fields
 */
export function t(key, fields = {}) {
  const text = texts[key] ?? key;
  return filled(typeof text === "string" ? text : (text["other"] ?? key), fields);
}

/**
 * The text of a key in the form that the number wants; {count} is the number.
 * @param {string} key
 * @param {number} count
 * @param {Record<string, Filling>} fields
 */
export function counted(key, count, fields = {}) {
  const forms = texts[key] ?? key;
  const text = typeof forms === "string" ? forms : (forms[plurals.select(count)] ?? forms["other"] ?? key);
  return filled(text, { count: number(count), ...fields });
}

/**
 * Whether there is a text for the key.
 * @param {string} key
 */
export function has(key) {
  return key in texts;
}

/**
 * The text of a key, or the name itself where the page has no word for it.
 * @param {string} group
 * @param {string} name
 */
export function named(group, name) {
  return has(`${group}.${name}`) ? t(`${group}.${name}`) : name;
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
  return new Intl.NumberFormat(region, {
    minimumFractionDigits: Number.isInteger(value) ? 0 : digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/**
 * A number with all its digits, such as the limit of a field.
 * @param {number} value
 */
export function exact(value) {
  return new Intl.NumberFormat(region, { maximumSignificantDigits: 15 }).format(value);
}

/**
 * A loss; always with three decimals, so that columns do not jump.
 * @param {number | null | undefined} value
 */
export function loss(value) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(region, { minimumFractionDigits: 3, maximumFractionDigits: 3 }).format(value);
}

/**
 * A difference of losses, with its sign.
 * @param {number} value
 */
export function difference(value) {
  const style = /** @type {const} */ ({ minimumFractionDigits: 3, maximumFractionDigits: 3, signDisplay: "exceptZero" });
  return new Intl.NumberFormat(region, style).format(value);
}

/**
 * A share as a percentage.
 * @param {number} share
 */
export function percent(share) {
  return new Intl.NumberFormat(region, { style: "percent" }).format(share);
}

/**
 * Bytes as GiB.
 * @param {number | null | undefined} value
 */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const gib = value / 2 ** 30;
  return `${number(gib, gib < 10 ? 1 : 0)}\u00a0GiB`;
}

/**
 * A moment as date and time of day, in digits only, which every language of the page can hold.
 * @param {string | null} iso
 */
export function moment(iso) {
  if (!iso) return "–";
  const style = /** @type {const} */ ({ year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });
  return new Intl.DateTimeFormat(region, style).format(new Date(iso));
}

/**
 * Only the time of day; that of now if none is given.
 * @param {string} [iso]
 */
export function clock(iso) {
  return new Intl.DateTimeFormat(region, { timeStyle: "medium" }).format(iso ? new Date(iso) : new Date());
}

/**
 * Seconds as the two largest units, such as “3 min 20 sec”.
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return unit("second", Math.max(0, seconds), 2);
  let rest = Math.round(seconds);
  const parts = UNITS.map(([name, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return { name, count };
  });
  const first = parts.findIndex((each) => each.count > 0);
  const shown = parts.slice(first, first + 2).filter((each, at) => at === 0 || each.count > 0);
  return shown.map((each) => unit(each.name, each.count)).join(" ");
}

/**
 * A number with its unit: the page's word for it, beside digits as the region writes them.
 * @param {string} name
 * @param {number} value
 */
function unit(name, value, digits = 0) {
  const style = /** @type {const} */ ({ style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits });
  const parts = new Intl.NumberFormat(wording, style).formatToParts(value);
  const digitsFirst = parts.findIndex((each) => each.type === "integer");
  const words = parts.map((each, at) => {
    if (at === digitsFirst) return number(value, digits);
    return each.type === "literal" || each.type === "unit" ? each.value.replace(" ", "\u00a0") : "";
  });
  return words.join("");
}

/**
 * @param {string} text
 * @param {Record<string, Filling>} fields
 */
function filled(text, fields) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(fields[name] ?? whole));
}

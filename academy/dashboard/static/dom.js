// Building the page. Data only ever becomes text or an attribute, never HTML.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Record<string, string | number | boolean | null | undefined>} Attributes */
/** @typedef {Node | string | null | undefined} Child */
/** @typedef {"good" | "bad" | "busy" | "quiet"} Mood */

/**
 * The element with this id, which the template always has, of the kind that is asked for.
 * Throws `Error` where template and script do not fit together.
 * @template {Element} [Kind=HTMLElement]
 * @param {string} id
 * @param {new () => Kind} [kind]
 * @returns {Kind}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (found instanceof (kind ?? HTMLElement)) return /** @type {Kind} */ (/** @type {Element} */ (found));
  throw new Error(`the page has no #${id} of the kind that its script wants`);
}

/**
 * Whether the page's user has the right, such as "mayOperate", as the template wrote it down.
 * @param {"mayOperate" | "mayActivate"} right
 */
export function may(right) {
  return document.querySelector("main")?.dataset[right] === "true";
}

/**
 * An element with attributes and children; strings become text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * A name and its values in a list of pairs.
 * @param {string} name
 * @param {Child[]} values
 */
export function pair(name, ...values) {
  return [element("dt", {}, name), element("dd", {}, ...values)];
}

/**
 * The same as `element` for SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * A word in a coloured frame.
 * @param {string} text
 * @param {Mood} mood
 */
export function badge(text, mood) {
  return element("span", { class: `badge ${mood}` }, text);
}

/**
 * Show an element with a text, or hide it without one.
 * @param {HTMLElement} node
 * @param {string | null | undefined} text
 */
export function show(node, text) {
  node.textContent = text ?? "";
  node.hidden = node.textContent === "";
}

/**
 * Make the children of `parent` those of `items`. What did not change is not touched, and the focus
 * stays on the same action of the same item, so that a refresh does not throw a keyboard user out.
 * @template Item
 * @param {HTMLElement} parent
 * @param {Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => HTMLElement} render
 */
export function keyed(parent, items, keyOf, render) {
  const drawn = [...parent.children].filter((node) => node instanceof HTMLElement);
  const before = new Map(drawn.map((node) => [node.dataset.key, node]));
  const nodes = items.map((item) => {
    const key = keyOf(item);
    const state = JSON.stringify(item);
    const old = before.get(key);
    if (old?.dataset.state === state) return old;
    const made = render(item);
    made.dataset.key = key;
    made.dataset.state = state;
    return made;
  });
  if (nodes.length === parent.children.length && nodes.every((node, at) => node === parent.children[at])) return;
  const focused = document.activeElement;
  if (!(focused instanceof HTMLElement) || !parent.contains(focused)) {
    parent.replaceChildren(...nodes);
    return label(parent);
  }
  const key = drawn.find((node) => node.contains(focused))?.dataset.key;
  const action = focused.dataset.action;
  parent.replaceChildren(...nodes);
  label(parent);
  if (document.activeElement === focused) return;
  const row = nodes.find((node) => node.dataset.key === key);
  const again = row?.querySelector(`[data-action="${action}"]`) ?? row?.querySelector("button, a");
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
}

/**
 * Give each cell of a table's body the name of its column, which a narrow screen shows beside it.
 * @param {HTMLElement} body
 */
export function label(body) {
  const names = [...(body.closest("table")?.tHead?.rows[0]?.cells ?? [])].map((cell) => cell.textContent?.trim() ?? "");
  for (const row of body.children) {
    if (!(row instanceof HTMLTableRowElement) || row.cells.length !== names.length) continue;
    [...row.cells].forEach((cell, at) => {
      if (cell.dataset["label"] !== undefined) return;
      cell.dataset["label"] = names[at] ?? "";
      cell.replaceChildren(element("div", {}, ...cell.childNodes)); // beside the name, however many lines it takes
    });
  }
}

/**
 * @template {Element} Kind
 * @param {Kind} node
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {Kind}
 */
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

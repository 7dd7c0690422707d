// Building the page. Data only ever becomes text or an attribute, never HTML.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id, which the template always has. */
export function byId(id) {
  return document.getElementById(id);
}

/** An element with attributes and children; strings become text. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** A word in a coloured frame; `mood` is good, bad, busy or quiet. */
export function badge(text, mood) {
  return element("span", { class: `badge ${mood}` }, text);
}

/** Show or hide an element, with a text if it has one. */
export function show(node, text) {
  node.hidden = text === null || text === undefined || text === "";
  node.textContent = node.hidden ? "" : text;
}

/**
 * Make the children of `parent` those of `items`. What did not change is not touched, and the focus
 * stays on the same action of the same item, so that a refresh does not throw a keyboard user out.
 */
export function keyed(parent, items, keyOf, render) {
  const before = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const nodes = items.map((item) => {
    const key = String(keyOf(item));
    const state = JSON.stringify(item);
    const old = before.get(key);
    if (old?.dataset.state === state) return old;
    const made = render(item);
    made.dataset.key = key;
    made.dataset.state = state;
    return made;
  });
  if (nodes.length === parent.children.length && nodes.every((node, at) => node === parent.children[at])) return;
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.closest("[data-key]")?.dataset.key;
  const action = focused?.dataset.action;
  parent.replaceChildren(...nodes);
  if (focused === null || document.activeElement === focused) return;
  const row = nodes.find((node) => node.dataset.key === key);
  const again = row?.querySelector(`[data-action="${action}"]`) ?? row?.querySelector("button, a");
  again?.focus({ preventScroll: true });
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Elements are made here and nowhere else. What a model or a user says becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (class, on..., attributes) and children, which are elements or text. */
export function make(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same of an SVG. */
export function shape(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A unit of text so that it can be seen: spaces and line ends have no shape of their own. */
export function visible(unit) {
  if (unit === "") return "end";
  return unit.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}

/** One of six colours, the same for the same place. */
export const colour = (place) => `c${((place % 6) + 6) % 6}`;

/** A share of one as a percentage. */
export const percent = (share) => `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;

/** A number with as many digits as are worth reading. */
export const short = (number) => (number === null ? "–" : Number(number.toPrecision(4)).toString());

// Making elements; text is always set as text, so nothing of a file's name is ever read as HTML.

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Object} properties - attributes; `text`, `className` and `on` (listeners by event) apart.
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") element.textContent = value;
    else if (name === "className") element.className = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

/** Finds the one element of the page with this id. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element ${id}`);
  return element;
}

/** Shows or hides elements, for everyone. */
export function shown(visible, ...elements) {
  for (const element of elements) element.hidden = !visible;
}

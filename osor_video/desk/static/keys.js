// Keyboard shortcuts, and the overlay that lists them.

export const SHORTCUTS = [
  ["Brush, eraser", "B, E"],
  ["Brush smaller, larger", "[, ]"],
  ["Box, polygon", "R, P"],
  ["Close the polygon, drop it", "Enter, Esc"],
  ["Click to select", "C"],
  ["Move the view", "H, Space"],
  ["Undo, redo", "Ctrl+Z, Ctrl+Shift+Z"],
  ["Object 1 to 9", "Shift+1 to 9"],
  ["Frame before, next", "←, →"],
  ["Ten frames", "Shift+←, →"],
  ["First, last frame", "Home, End"],
  ["Play or stop", "K"],
  ["Next doubtful frame", "N"],
  ["Mask on or off", "M"],
  ["Zoom in, out, fit", "+, -, F"],
  ["Follow the object", "Ctrl+Enter"],
  ["Preview this frame", "Y"],
  ["Ways to compare", "1 to 5"],
  ["Move the slider", ", and ."],
  ["Save the project", "Ctrl+S"],
  ["Open", "Ctrl+O"],
  ["This list", "?"],
];

export function listed(element) {
  element.replaceChildren(
    ...SHORTCUTS.map(([what, keys]) => {
      const row = document.createElement("div");
      const name = document.createElement("span");
      const key = document.createElement("kbd");
      name.textContent = what;
      key.textContent = keys;
      row.append(name, key);
      return row;
    }),
  );
}

// actions: {name: function}; a key that types into a field is left alone.
export function listen(actions) {
  window.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const field = event.target.closest?.("input, select, textarea");
    const types = field && !["range", "checkbox"].includes(field.type);
    const name = named(event);
    if (!name || !actions[name] || (types && !event.ctrlKey && !event.metaKey)) return;
    if (field?.type === "range" && event.key.startsWith("Arrow")) return;
    if (["Enter", " "].includes(event.key) && event.target.closest?.("button, a") && !event.ctrlKey) return;
    event.preventDefault();
    actions[name](event);
  });
  window.addEventListener("keyup", (event) => event.key === " " && actions["space-up"]?.());
}

function named(event) {
  const { key } = event;
  if (event.ctrlKey || event.metaKey) {
    const wanted = { z: event.shiftKey ? "redo" : "undo", Z: "redo", y: "redo", s: "save", o: "open", Enter: "follow" }[key];
    return wanted;
  }
  if (event.altKey) return undefined;
  if (event.shiftKey && event.code.startsWith("Digit") && event.code !== "Digit0") return `object-${event.code.slice(5)}`;
  const plain = {
    b: "brush", e: "eraser", r: "box", p: "polygon", c: "select", h: "hand", "[": "smaller", "]": "larger",
    Enter: "enter", Escape: "escape", " ": "space", k: "play", n: "worst", m: "mask", "+": "in", "=": "in", "-": "out", f: "fit",
    y: "preview", "?": "help", Home: "first", End: "last", ",": "slide-left", ".": "slide-right",
    1: "view-slider", 2: "view-result", 3: "view-source", 4: "view-difference", 5: "view-alpha",
  };
  if (key === "ArrowLeft") return event.shiftKey ? "ten-back" : "back";
  if (key === "ArrowRight") return event.shiftKey ? "ten-next" : "next";
  return plain[key] || plain[key.toLowerCase()];
}

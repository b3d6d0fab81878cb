// The panel on the right: what it lists and says, drawn anew from the state.

const REGIONS = { also: ["Goes too", "#e58fb0"], keep: ["Never touched", "#8fd3a0"] };
export const STAGES = {
  load: "Getting ready", back: "Following backwards", track: "Following the object", remove: "Removing",
};
const KINDS = { propagate: "Follow", preview: "Preview", run: "Removal" };

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function iconButton(name, label, action) {
  const button = element("button", { className: "icon", title: label, onclick: action }, icon(name));
  button.setAttribute("aria-label", label);
  return button;
}

export function colours(state) {
  const found = Object.fromEntries(Object.entries(REGIONS).map(([name, [, colour]]) => [name, colour]));
  for (const object of state.objects) found[object.id] = object.colour;
  return found;
}

export function nameOf(state, target) {
  return REGIONS[target]?.[0] || state.objects.find((object) => String(object.id) === target)?.name || "";
}

// What the lists of objects and regions do: {choose, hide, rename, remove}.
export function layers(state, ui, actions) {
  const rows = state.objects.map((object) => row(String(object.id), object.name, object.colour, object.keys, ui, actions, state.objects.length > 1));
  fill(byId("objects"), rows);
  fill(byId("regions"), Object.entries(REGIONS).map(([name, [title, colour]]) => row(name, title, colour, state[name], ui, actions, false)));
}

function fill(list, rows) {
  const typing = list.querySelector("input");
  if (typing && document.activeElement === typing) return;
  const focused = document.activeElement?.closest?.("[data-target]");
  const again = focused && list.contains(focused) ? [focused.dataset.target, document.activeElement.className] : null;
  list.replaceChildren(...rows);
  if (again) list.querySelector(`[data-target="${again[0]}"] .${again[1].split(" ")[0]}`)?.focus({ preventScroll: true });
}

function row(target, name, colour, keys, ui, actions, deletes) {
  const dot = element("i");
  dot.style.setProperty("--c", colour);
  const count = keys.length ? `${keys.length} frame${keys.length > 1 ? "s" : ""}` : "";
  const pick = element("button", { className: "pick", onclick: () => actions.choose(target) }, dot, element("span", { textContent: name }), element("small", { textContent: count }));
  pick.setAttribute("aria-pressed", ui.target === target);
  const shown = !ui.hidden.has(target);
  const eye = iconButton("eye", shown ? `Hide ${name}` : `Show ${name}`, () => actions.hide(target));
  eye.setAttribute("aria-pressed", shown);
  const item = element("li", { className: `layer${ui.target === target ? " chosen" : ""}` }, pick, eye);
  item.dataset.target = target;
  if (!(target in REGIONS)) {
    pick.title = `${name} (press twice for another name)`;
    pick.ondblclick = () => rename(item, target, name, actions);
  }
  if (deletes) item.append(iconButton("trash", `Delete ${name}`, () => actions.remove(target)));
  return item;
}

function rename(item, target, name, actions) {
  const input = element("input", { type: "text", value: name, maxLength: 80 });
  input.setAttribute("aria-label", "Name");
  let done = false;
  const end = (kept) => {
    if (done) return;
    done = true;
    input.blur();
    actions.rename(target, kept && input.value.trim() ? input.value.trim() : name);
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") end(false);
  });
  input.addEventListener("blur", () => end(true));
  item.replaceChildren(input);
  input.focus();
  input.select();
}

export function follow(state, busy, go) {
  const known = state.scores.filter((score) => score !== null).length;
  const marked = state.objects.some((object) => object.keys.length);
  const several = state.objects.filter((object) => object.keys.length).length > 1;
  byId("follow-figure").textContent = marked ? `${known} of ${state.frames} frames are followed` : "Nothing is marked yet";
  byId("follow-meter").firstElementChild.style.width = `${(100 * known) / state.frames}%`;
  const button = byId("follow");
  button.disabled = busy || !state.to_follow;
  button.textContent = known > 1 && state.to_follow ? "Follow what has changed" : several ? "Follow the objects" : "Follow the object";
  byId("follow-note").textContent = !marked
    ? "Mark the object in one frame first."
    : state.to_follow
      ? `${state.to_follow} frames will be looked at. Between two masks of yours it is followed from both sides.`
      : "All is followed. Correct any frame with the brush, and only what depends on it is followed anew.";
  const items = state.doubts.map((doubt) => {
    const span = doubt.first === doubt.last ? `Frame ${doubt.worst}` : `Frame ${doubt.worst} (of ${doubt.first} to ${doubt.last})`;
    const score = element("em", { textContent: doubt.score.toFixed(2), className: doubt.score < 0.4 ? "" : "mild" });
    const button = element("button", { className: "quiet", onclick: () => go(doubt.worst) }, element("span", { textContent: span }), score);
    return element("li", {}, button);
  });
  const lowest = known ? Math.min(...state.scores.filter((score) => score !== null)) : null;
  const none = known === state.frames ? `None. The lowest confidence is ${lowest.toFixed(2)}.` : "They are listed once the object was followed.";
  byId("doubts").replaceChildren(...(items.length ? items : [element("li", { className: "note", textContent: none })]));
  byId("worst").disabled = !state.doubts.length;
}

// Built once from the desk's tables; later only the values are set.
export function buildChoices(offers, change) {
  byId("choices").replaceChildren(
    ...offers.choices.flatMap((choice) => {
      const id = `choice-${choice.key.replace(".", "-")}`;
      const select = element("select", { id, title: choice.hint });
      choice.values.forEach(([, title], i) => select.append(element("option", { value: String(i), textContent: title })));
      select.addEventListener("change", () => change(choice, choice.values[Number(select.value)][0]));
      return [element("label", { className: "field", htmlFor: id, textContent: choice.name, title: choice.hint }), select];
    }),
  );
  byId("export").replaceChildren(...offers.exports.map((item) => element("option", { value: item.name, textContent: item.title })));
  const [low, high] = offers.quality.range;
  Object.assign(byId("quality"), { min: low, max: high });
}

export function settings(state, offers, busy) {
  for (const choice of offers.choices) {
    const value = choice.key === "preset" ? state.preset : (state.effective[choice.key] ?? null);
    byId(`choice-${choice.key.replace(".", "-")}`).value = String(Math.max(0, choice.values.findIndex(([known]) => known === value)));
  }
  const chosen = exportOf(state, offers);
  byId("export").value = chosen.name;
  const [low, high] = offers.quality.range;
  const crf = state.effective[offers.quality.key];
  const slider = byId("quality");
  slider.disabled = !chosen.quality;
  const matched = crf === null || crf === undefined;
  if (document.activeElement !== slider) slider.value = low + high - (matched ? (low + high) / 2 : crf);
  const fixed = chosen.settings["encode.lossless"] ? "lossless" : "the codec's own";
  byId("quality-value").textContent = chosen.quality ? (matched ? "as the source" : `CRF ${crf}`) : fixed;
  const marked = state.objects.some((object) => object.keys.length);
  byId("preview").disabled = busy || !marked;
  byId("run").disabled = busy || !marked;
}

export function exportOf(state, offers) {
  const fits = (item) => item.container === state.container && Object.entries(item.settings).every(([key, value]) => state.settings[key] === value);
  const plain = (item) => !Object.keys(item.settings).length;
  return offers.exports.find((item) => fits(item) && !plain(item)) || offers.exports.find((item) => fits(item)) || offers.exports[0];
}

export function results(state, ui) {
  const any = state.results.length > 0;
  byId("no-result").hidden = any;
  byId("has-result").hidden = !any;
  byId("views").hidden = !(any && ui.step === "compare");
  if (!any) return;
  const list = byId("result-list");
  list.replaceChildren(...state.results.map((item, i) => element("option", { value: item.id, textContent: `${i + 1}: ${item.name}` })));
  list.value = ui.result;
  list.hidden = state.results.length < 2;
  const result = state.results.find((item) => item.id === ui.result);
  const { report } = result;
  const facts = [
    ["File", result.name],
    ["Size", `${(result.bytes / 1e6).toFixed(result.bytes < 1e6 ? 2 : 1)} MB`],
    ["Speed", `${report.frames_per_s} frames/s`],
    ["Real background", `${Math.round(report.borrowed * 100)} %`],
    ["Pixels replaced", `${(report.replaced * 100).toFixed(1)} %`],
    ["Model", report.model],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([what, value]) => [element("dt", { textContent: what }), element("dd", { textContent: value })]));
  byId("result-stale").hidden = result.version === state.version;
  byId("download").href = `/api/sessions/${state.id}/results/${result.id}/file`;
  byId("download").download = result.name;
  byId("save-beside").hidden = !state.beside;
}

export function jobBar(jobs) {
  const open = jobs.find((job) => job.state === "running") || jobs.find((job) => job.state === "waiting");
  const job = open || jobs[jobs.length - 1];
  const words = { done: "is done", failed: "failed", cancelled: "was cancelled" };
  let title = "Nothing is running";
  if (open) title = job.cancelling ? "Stopping" : job.state === "waiting" ? `${KINDS[job.kind]} waits${job.ahead ? ` for ${job.ahead}` : ""}` : STAGES[job.stage] || job.stage;
  else if (job) title = `${KINDS[job.kind]} ${words[job.state]}`;
  byId("job-title").textContent = title;
  byId("cancel").hidden = !open;
  byId("cancel").disabled = Boolean(open?.cancelling);
  byId("cancel").dataset.job = open?.id || "";
  const share = job?.state === "done" ? 1 : open && job.total ? job.done / job.total : 0;
  byId("job-meter").firstElementChild.style.width = `${100 * share}%`;
  byId("job-meter").setAttribute("aria-valuenow", Math.round(100 * share));
  const running = open && job.stage !== "load" && job.state === "running";
  byId("job-rate").textContent = running ? `${job.done} of ${job.total}${job.rate ? ` · ${job.rate.toFixed(1)} frames/s` : ""}` : job?.state === "done" ? `in ${spoken(job.spent_s)}` : "";
  byId("job-left").textContent = running && job.left_s !== null ? `${spoken(job.left_s)} left` : "";
  return Boolean(open);
}

function spoken(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

// The desk's page: holds what is shown, asks the desk for what is not here, and wires the parts together.
import { ask, picture, upload } from "./api.js";
import { Reel } from "./film.js";
import { listed, listen } from "./keys.js";
import { Layer, Masks } from "./masks.js";
import * as panels from "./panels.js";
import { byId, element, icon } from "./panels.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { HINTS, Tools } from "./tools.js";

const BUSY_MS = 400;
const IDLE_MS = 2500;
const AHEAD = 24;

let offers = null;
let state = null;
let reel = null;
let masks = null;
let after = null;
let alpha = null;
let editing = Promise.resolve();
let edits = 0;
let shown = 0;
let playing = 0;
let pulse = 0;
let finding = 0;
const seen = new Map();
const history = { undo: [], redo: [] };
const ui = { frame: 0, target: "1", step: "mark", view: "slider", hidden: new Set(), mask: true, result: null, preview: null };

const stage = new Stage(byId("view"));
const timeline = new Timeline(
  { strip: byId("strip"), thumbs: byId("thumbs"), confidence: byId("confidence"), flags: byId("flags"), playhead: byId("playhead") },
  (frame) => go(frame),
);
const tools = new Tools(stage, {
  target: () => ui.target,
  colour: () => panels.colours(state)[ui.target] || "#fff",
  snap: () => byId("snap").checked && !["also", "keep"].includes(ui.target),
  comparing: () => mode() === "slider",
  paints: () => Boolean(state && ui.step !== "compare" && mode() === "mark" && !playing && ui.mask && masks?.get(ui.frame)),
  layer: () => layer(),
  commit: (changed) => commit(changed),
  find: (kind, values, off) => find(kind, values, off),
});

// --- saying things

function toast(text, bad = false) {
  const close = element("button", {}, icon("close"));
  close.setAttribute("aria-label", "Dismiss");
  const note = element("div", { className: `toast${bad ? " bad" : ""}` }, element("span", { textContent: text }), close);
  close.onclick = () => note.remove();
  byId("toasts").append(note);
  while (byId("toasts").children.length > 3) byId("toasts").firstChild.remove();
  setTimeout(() => note.remove(), bad ? 12000 : 5000);
}

function told(promise) {
  return promise.catch((error) => { toast(error.message, true); });
}

// --- opening

async function begin() {
  history.undo.length = history.redo.length = 0;
  if (location.search) window.history.replaceState(null, "", location.pathname + location.hash);
  listed(byId("keys"));
  try {
    offers = await ask("GET", "desk");
  } catch (error) {
    welcome(error.message);
    return;
  }
  panels.buildChoices(offers, change);
  const key = location.hash.slice(1);
  if (key) {
    try {
      opened(await ask("GET", `sessions/${key}`));
      return;
    } catch (error) {
      welcome(error.message);
      return;
    }
  }
  welcome();
}

function welcome(error = "") {
  stop();
  byId("start").hidden = false;
  byId("desk").hidden = true;
  byId("save-button").disabled = true;
  byId("clip-line").replaceChildren();
  byId("open-error").textContent = error;
  byId("path-row").hidden = !(offers?.paths ?? true);
  byId("file").accept = (offers?.suffixes || []).join(",");
  const list = offers?.sessions || [];
  const rows = list.map((item) => element("button", { type: "button", className: "quiet", onclick: () => told(ask("GET", `sessions/${item.id}`).then(opened)) }, element("span", { textContent: item.name }), element("span", { className: "dim", textContent: `${item.frames} frames, open already` })));
  byId("open-list").replaceChildren(...rows);
  (byId("path-row").hidden ? byId("drop") : byId("path")).focus();
}

async function open(promise) {
  byId("open-error").textContent = "";
  const buttons = byId("open-form").querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    opened(await promise);
    offers = await ask("GET", "desk");
  } catch (error) {
    if (byId("start").hidden) toast(error.message, true);
    else byId("open-error").textContent = error.message;
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
    byId("upload-meter").hidden = true;
  }
}

function take(file) {
  if (!file) return;
  if (file.name.toLowerCase().endsWith(".json")) {
    if (!state) byId("open-error").textContent = "A dropped project needs its clip: open that first, or type the path of the project.";
    else told(file.text().then((text) => ask("POST", `sessions/${state.id}/project`, { text })).then((next) => { reopened(next); toast(`The project ${file.name} is on the desk.`); }));
    return;
  }
  if (file.size > offers.upload_mb * 2 ** 20) {
    const text = `${file.name} is larger than the ${offers.upload_mb} MiB that can be dropped. Type its path instead.`;
    if (byId("start").hidden) toast(text, true);
    else byId("open-error").textContent = text;
    return;
  }
  const meter = byId("upload-meter");
  meter.hidden = false;
  open(upload(file, (share) => { meter.firstElementChild.style.width = `${100 * share}%`; }));
}

function opened(next) {
  stop();
  reel?.close();
  after?.close();
  alpha?.close();
  after = alpha = null;
  location.hash = next.id;
  seen.clear();
  history.undo.length = history.redo.length = 0;
  Object.assign(ui, { frame: 0, target: String(next.objects[0].id), result: null, preview: null, hidden: new Set() });
  byId("start").hidden = true;
  byId("desk").hidden = false;
  byId("save-button").disabled = false;
  reel = new Reel((frame) => `/api/sessions/${next.id}/frames/${frame}.jpg`, next.frames, next.width, next.height);
  masks = new Masks(next.id, next.width, next.height);
  state = next;
  document.title = `${next.name} · osor_video desk`;
  byId("clip-line").replaceChildren(element("b", { textContent: next.name }), `  ${next.width}×${next.height}, ${next.frames} frames, ${Number(next.rate.toFixed(3))} fps`);
  byId("frame").max = next.frames - 1;
  byId("frame-of").textContent = `of ${next.frames - 1}`;
  byId("brush-size").max = Math.max(40, Math.round(next.height / 3));
  size(Math.max(4, Math.round(next.height / 14)));
  stage.open(next.width, next.height);
  timeline.open(next);
  for (const job of next.jobs) seen.set(job.id, job.state);
  step(next.results.length ? "compare" : "mark");
  apply(next);
  go(0);
  beat();
}

function reopened(next) {
  masks.forget();
  history.undo.length = history.redo.length = 0;
  ui.target = String(next.objects[0].id);
  apply(next);
  go(ui.frame);
}

// --- the state, and keeping up with it

function apply(next) {
  if (state && next.id !== state.id) return;
  const moved = !state || next.revision !== state.revision;
  if (ui.preview && next.version !== ui.preview.version) ui.preview = null;
  state = next;
  const known = [...state.objects.map((object) => String(object.id)), "also", "keep"];
  if (!known.includes(ui.target)) ui.target = known[0];
  if (!state.results.some((item) => item.id === ui.result)) choose(state.results.at(-1)?.id ?? null);
  if (!panels.byId("desk").hidden) timeline.update(state);
  draw();
  if (moved && !edits) go(ui.frame, true);
}

function draw() {
  if (!state) return;
  const busy = panels.jobBar(state.jobs);
  panels.layers(state, ui, { choose: target, hide, rename, remove });
  panels.follow(state, busy, go);
  panels.settings(state, offers, busy);
  panels.results(state, ui);
  const marked = state.objects.some((object) => object.keys.length);
  byId("tab-mark").classList.toggle("ready", marked);
  byId("tab-follow").classList.toggle("ready", marked && !state.to_follow);
  byId("tab-remove").classList.toggle("ready", state.results.some((item) => item.version === state.version));
  byId("undo").disabled = !history.undo.length;
  byId("redo").disabled = !history.redo.length;
  hint();
}

async function beat() {
  clearTimeout(pulse);
  const { id } = state;
  let busy = false;
  try {
    const news = await ask("GET", `sessions/${id}/pulse?revision=${state.revision}`);
    if (!state || state.id !== id) return;
    if (news.state && !edits) apply(news.state);
    state.jobs = news.jobs;
    busy = hear(news.jobs);
    panels.jobBar(state.jobs);
    byId("toasts").querySelector(".lost")?.remove();
  } catch (error) {
    if (!byId("toasts").querySelector(".lost")) {
      toast(error.message, true);
      byId("toasts").lastChild.classList.add("lost");
    }
  }
  pulse = setTimeout(beat, busy ? BUSY_MS : IDLE_MS);
}

// What has ended since the last time.
function hear(jobs) {
  for (const job of jobs) {
    const before = seen.get(job.id);
    seen.set(job.id, job.state);
    if (before === job.state || ["waiting", "running"].includes(job.state)) continue;
    draw();
    if (job.state === "failed") toast(job.error, true);
    else if (job.state === "done") finished(job);
  }
  return jobs.some((job) => ["waiting", "running"].includes(job.state));
}

function finished(job) {
  if (job.kind === "run") {
    choose(job.id);
    step("compare");
  } else if (job.kind === "preview") {
    told(preview(job));
  } else if (state.doubts.length) {
    toast(`Followed. ${state.doubts.length} place${state.doubts.length > 1 ? "s" : ""} to look at: press N.`);
  }
}

async function preview(job) {
  const address = `/api/sessions/${state.id}/previews/${job.id}`;
  const [before, finishedPicture] = await Promise.all([picture(`${address}/before.png`), picture(`${address}/after.png`)]);
  ui.preview = { frame: job.frame, before, after: finishedPicture, version: state.version };
  step("remove");
  go(job.frame, true);
}

function start(kind) {
  return told(editing.then(() => ask("POST", `sessions/${state.id}/jobs`, { kind, frame: ui.frame })).then((job) => {
    seen.set(job.id, "waiting");
    state.jobs.push(job);
    draw();
    beat();
  }));
}

// --- changing the project

function send(ops) {
  edits++;
  editing = editing.then(async () => {
    try {
      const next = await ask("POST", `sessions/${state.id}/edit`, { version: state.version, ops });
      edits--;
      apply(next);
    } catch (error) {
      edits--;
      masks.forget();
      history.undo.length = history.redo.length = 0;
      toast(error.message, true);
      try {
        apply({ ...(await ask("GET", `sessions/${state.id}`)) });
      } catch { /* the pulse says that the desk is gone */ }
      go(ui.frame, true);
    }
  });
  return editing;
}

function layer() {
  const layers = masks.get(ui.frame);
  layers[ui.target] ||= new Layer(state.width, state.height, panels.colours(state)[ui.target]);
  const found = layers[ui.target];
  if (found.saved === undefined) found.saved = found.kind === "key" ? found.png : null;
  return found;
}

async function commit(changed) {
  const { frame } = ui;
  const { target } = ui;
  masks.serial = (masks.serial || 0) + 1;
  edits++;
  const before = changed.saved;
  const region = ["also", "keep"].includes(target);
  const png = await changed.encode();
  const now = changed.area || region ? png : null;
  changed.saved = now;
  edits--;
  history.undo.push({ frame, target, before, after: now });
  history.redo.length = 0;
  send([{ op: "mask", target: region ? target : Number(target), frame, png: now }]);
}

function again(from, to, side) {
  const entry = history[from].pop();
  if (!entry) return;
  history[to].push(entry);
  ui.target = entry.target;
  const region = ["also", "keep"].includes(entry.target);
  masks.serial = (masks.serial || 0) + 1;
  masks.kept.delete(entry.frame);
  send([{ op: "mask", target: region ? entry.target : Number(entry.target), frame: entry.frame, png: entry[side] }]).then(() => go(entry.frame, true));
}

async function find(kind, values, off) {
  finding++;
  hint();
  try {
    const { png } = await ask("POST", `sessions/${state.id}/select`, { frame: ui.frame, kind, values, off });
    return await Layer.from(png, panels.colours(state)[ui.target], "key", state.width, state.height);
  } catch (error) {
    toast(error.message, true);
    return null;
  } finally {
    finding--;
    hint();
  }
}

function target(name) {
  ui.target = name;
  tools.reset();
  step("mark");
}

function hide(name) {
  if (!ui.hidden.delete(name)) ui.hidden.add(name);
  stage.draw();
  draw();
}

function rename(name, title) {
  const object = state.objects.find((item) => String(item.id) === name);
  if (object && object.name !== title) send([{ op: "rename", target: Number(name), name: title }]);
  else draw();
}

function remove(name) {
  const object = state.objects.find((item) => String(item.id) === name);
  if (object.keys.length && !window.confirm(`Delete ${object.name} with its ${object.keys.length} masks?`)) return;
  masks.forget();
  history.undo = history.undo.filter((entry) => entry.target !== name);
  history.redo = history.redo.filter((entry) => entry.target !== name);
  send([{ op: "delete", target: Number(name) }]);
}

function change(choice, value) {
  const op = choice.key === "preset" ? { op: "settings", preset: value } : { op: "settings", settings: { [choice.key]: value } };
  send([op]);
}

// --- showing a frame

function mode() {
  if (!state) return "mark";
  if (ui.step === "compare" && ui.result && after) return ui.view;
  if (ui.step === "remove" && ui.preview?.frame === ui.frame) return "slider";
  return "mark";
}

function choose(result) {
  if (ui.result === result) return;
  ui.result = result;
  after?.close();
  alpha?.close();
  after = alpha = null;
  if (result) {
    const at = `/api/sessions/${state.id}/results/${result}`;
    after = new Reel((frame) => `${at}/frames/${frame}.jpg`, state.frames, state.width, state.height);
    alpha = new Reel((frame) => `${at}/alpha/${frame}.png`, state.frames, state.width, state.height);
  }
}

let loading = false;
let wanted = null;

// Go to a frame; while one is on its way the last that was asked for waits.
async function go(frame, same = false) {
  frame = Math.min(state.frames - 1, Math.max(0, Math.round(frame) || 0));
  if (frame !== ui.frame) tools.reset();
  ui.frame = frame;
  timeline.mark(frame);
  byId("frame").value = frame;
  byId("timecode").textContent = timecode(frame / state.rate);
  wanted = frame;
  if (loading) return;
  loading = true;
  try {
    while (wanted !== null) {
      const next = wanted;
      wanted = null;
      try {
        await ready(next);
      } catch (error) {
        toast(error.message, true);
        break;
      }
      if (next === ui.frame) present(next);
    }
  } finally {
    loading = false;
  }
  if (!playing) reel.ahead(frame + 1, 4);
}

// All that is needed to show a frame.
function ready(frame) {
  const parts = [reel.load(frame)];
  const now = mode();
  if (["slider", "result", "difference"].includes(now) && ui.step === "compare") parts.push(after.load(frame));
  if (now === "alpha") parts.push(alpha.load(frame));
  if (ui.step !== "compare" && !edits) parts.push(masks.load(frame, state.revision, panels.colours(state)));
  return Promise.all(parts);
}

function present(frame) {
  const now = mode();
  const previewing = ui.step !== "compare" && now === "slider";
  const compares = ui.step === "compare";
  shown = frame;
  stage.show({
    mode: now,
    before: previewing ? ui.preview.before : reel.get(frame) || stage.scene.before,
    after: previewing ? ui.preview.after : compares ? after?.get(frame) || stage.scene.after : null,
    alpha: compares ? alpha?.get(frame) || stage.scene.alpha : null,
    layers: !compares && !previewing && ui.mask ? masks.get(frame) : null,
    hidden: ui.hidden,
    opacity: Number(byId("opacity").value) / 100,
  });
  byId("view").setAttribute("aria-label", `Frame ${frame}${now === "mark" ? "" : `, ${now}`}`);
  byId("badge-left").hidden = byId("badge-right").hidden = now !== "slider";
  byId("badge-left").textContent = "Source";
  byId("badge-right").textContent = previewing ? "Preview" : "Result";
  byId("view").dataset.frame = frame;
  tools.show();
  hint();
}

function hint() {
  let text = "";
  if (state && ui.step === "mark" && !playing) text = HINTS[tools.tool];
  if (text && ["also", "keep"].includes(ui.target)) text += " A region holds from its frame until the next one.";
  if (finding) text = "Finding the object…";
  byId("hint").textContent = text;
}

function timecode(seconds) {
  const part = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${part(seconds / 3600)}:${part((seconds / 60) % 60)}:${part(seconds % 60)}.${String(Math.floor((seconds % 1) * 1000)).padStart(3, "0")}`;
}

// --- playing

async function play() {
  if (playing) return stop();
  const run = ++shown + Math.random();
  playing = run;
  playButton();
  let due = performance.now();
  let frame = ui.frame >= state.frames - 1 ? -1 : ui.frame;
  while (playing === run && frame < state.frames - 1) {
    frame++;
    reel.ahead(frame, AHEAD);
    if (ui.step === "compare" && after) (ui.view === "alpha" ? alpha : after).ahead(frame, AHEAD);
    try {
      await ready(frame);
    } catch (error) {
      toast(error.message, true);
      break;
    }
    if (playing !== run) return undefined;
    due = Math.max(due + 1000 / state.rate, performance.now() - 1000 / state.rate);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    if (playing !== run) return undefined;
    ui.frame = frame;
    timeline.mark(frame);
    byId("frame").value = frame;
    byId("timecode").textContent = timecode(frame / state.rate);
    present(frame);
  }
  if (playing === run) stop();
  return undefined;
}

function stop() {
  if (!playing) return;
  playing = 0;
  playButton();
  go(ui.frame, true);
}

function playButton() {
  const button = byId("play");
  button.querySelector("use").setAttribute("href", playing ? "#i-pause" : "#i-play");
  button.setAttribute("aria-label", playing ? "Stop" : "Play");
  button.title = `${playing ? "Stop" : "Play"} (K)`;
}

// --- steps, views, saving

function step(name) {
  ui.step = name;
  for (const tab of document.querySelectorAll("[data-step]")) {
    const chosen = tab.dataset.step === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    byId(`step-${tab.dataset.step}`).hidden = !chosen;
  }
  byId("tools").classList.toggle("idle", name === "compare");
  view(ui.view);
  draw();
}

function view(name) {
  ui.view = name;
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === name);
  if (reel) go(ui.frame, true);
}

function size(pixels) {
  const slider = byId("brush-size");
  slider.value = Math.min(Number(slider.max), Math.max(2, Math.round(pixels)));
  tools.size = Number(slider.value);
  byId("brush-value").textContent = `${slider.value} px`;
  tools.show();
}

let saving = null;

function saveAs(what) {
  saving = what;
  byId("save-title").textContent = what.title;
  byId("save-dialog").querySelector(".note").hidden = !what.project;
  byId("save-name").value = what.name;
  byId("save-place").hidden = byId("save-go").hidden = !state.beside;
  byId("save-download").href = what.download;
  byId("save-download").textContent = state.beside ? "Download instead" : "Download";
  byId("save-error").textContent = "";
  byId("overwrite-row").hidden = true;
  byId("overwrite").checked = false;
  byId("save-dialog").showModal();
  byId("save-name").select();
}

async function save(event) {
  event.preventDefault();
  try {
    await editing;
    const { path } = await ask("POST", saving.to, { name: byId("save-name").value.trim(), overwrite: byId("overwrite").checked });
    byId("save-dialog").close();
    byId("saved-note").textContent = saving.project ? "" : `Saved: ${path}`;
    toast(`Saved: ${path}`);
  } catch (error) {
    byId("save-error").textContent = error.message;
    byId("overwrite-row").hidden = error.status !== 412;
  }
}

function saveProject() {
  const name = `${state.name.replace(/\.[^.]*$/, "")}.json`;
  saveAs({ title: "Save the project", project: true, name, to: `sessions/${state.id}/project/save`, download: `/api/sessions/${state.id}/project` });
}

function tool(name) {
  tools.choose(name);
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === name);
  if (ui.step === "compare" && name !== "hand") step("mark");
  hint();
}

function toggleMask() {
  ui.mask = !ui.mask;
  byId("show-mask").setAttribute("aria-pressed", ui.mask);
  present(ui.frame);
}

function nextDoubt() {
  if (!state.doubts.length) return;
  const at = state.doubts.findIndex((doubt) => doubt.worst === ui.frame);
  go(state.doubts[(at + 1) % state.doubts.length].worst);
}

function slide(by) {
  stage.divide = Math.min(1, Math.max(0, stage.divide + by));
  stage.draw();
}

// --- wiring

const walk = {
  first: () => go(0),
  back: () => go(ui.frame - 1),
  next: () => go(ui.frame + 1),
  last: () => go(state.frames - 1),
  "ten-back": () => go(ui.frame - 10),
  "ten-next": () => go(ui.frame + 10),
};
const open_ = (run) => (event) => state && !byId("desk").hidden && run(event);
const actions = {
  ...Object.fromEntries(Object.entries(walk).map(([name, run]) => [name, () => { stop(); run(); }])),
  ...Object.fromEntries(["brush", "eraser", "box", "polygon", "select", "hand"].map((name) => [name, () => tool(name)])),
  ...Object.fromEntries(["slider", "result", "source", "difference", "alpha"].map((name) => [`view-${name}`, () => view(name)])),
  ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`object-${i + 1}`, () => state.objects[i] && target(String(state.objects[i].id))])),
  smaller: () => size(tools.size / 1.2 - 1),
  larger: () => size(tools.size * 1.2 + 1),
  enter: () => tools.tool === "polygon" && tools.close(),
  escape: () => tools.reset(),
  undo: () => again("undo", "redo", "before"),
  redo: () => again("redo", "undo", "after"),
  play,
  worst: nextDoubt,
  mask: toggleMask,
  in: () => stage.zoom(1.25),
  out: () => stage.zoom(0.8),
  fit: () => stage.fit(),
  follow: () => start("propagate"),
  preview: () => start("preview"),
  save: saveProject,
  space: () => { tools.space = true; tools.show(); },
  "space-up": () => { tools.space = false; tools.show(); },
  "slide-left": () => slide(-0.04),
  "slide-right": () => slide(0.04),
};
listen({
  ...Object.fromEntries(Object.entries(actions).map(([name, run]) => [name, open_(run)])),
  help: () => byId("help").showModal(),
  open: () => welcome(),
});

stage.onzoom = (scale) => { byId("zoom-value").textContent = `${Math.round(scale * 100)} %`; };
for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => tool(button.dataset.tool);
for (const button of document.querySelectorAll("[data-go]")) button.onclick = () => actions[button.dataset.go]();
for (const button of document.querySelectorAll("[data-view]")) button.onclick = () => view(button.dataset.view);
for (const tab of document.querySelectorAll("[data-step]")) tab.onclick = () => step(tab.dataset.step);
document.querySelector(".steps").addEventListener("keydown", (event) => {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
  const tabs = [...document.querySelectorAll("[data-step]")];
  const at = tabs.indexOf(document.activeElement) + (event.key === "ArrowRight" ? 1 : -1);
  const next = tabs[(at + tabs.length) % tabs.length];
  step(next.dataset.step);
  next.focus();
});
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
const clicks = {
  "open-button": () => welcome(),
  "save-button": saveProject,
  "help-button": () => byId("help").showModal(),
  undo: actions.undo,
  redo: actions.redo,
  play,
  worst: nextDoubt,
  "show-mask": toggleMask,
  "zoom-in": actions.in,
  "zoom-out": actions.out,
  "zoom-fit": actions.fit,
  follow: actions.follow,
  preview: actions.preview,
  run: () => start("run"),
  "add-object": () => send([{ op: "add" }]).then(() => target(String(state.objects.at(-1).id))),
  "clear-mask": () => {
    const region = ["also", "keep"].includes(ui.target);
    const found = masks.get(ui.frame)?.[ui.target];
    if (!found || found.kind !== "key") return;
    history.undo.push({ frame: ui.frame, target: ui.target, before: found.saved ?? found.png, after: null });
    masks.serial = (masks.serial || 0) + 1;
    masks.kept.delete(ui.frame);
    send([{ op: "mask", target: region ? ui.target : Number(ui.target), frame: ui.frame, png: null }]).then(() => go(ui.frame, true));
  },
  cancel: () => told(ask("DELETE", `sessions/${state.id}/jobs/${byId("cancel").dataset.job}`).then(beat)),
  "save-beside": () => {
    const result = state.results.find((item) => item.id === ui.result);
    saveAs({ title: "Save the result", name: result.name, to: `sessions/${state.id}/results/${result.id}/save`, download: byId("download").href });
  },
};
for (const [id, run] of Object.entries(clicks)) byId(id).addEventListener("click", run);
byId("save-form").addEventListener("submit", save);
byId("result-list").addEventListener("change", (event) => { choose(event.target.value); step("compare"); });
byId("brush-size").addEventListener("input", (event) => size(Number(event.target.value)));
byId("opacity").addEventListener("input", (event) => {
  byId("opacity-value").textContent = `${event.target.value} %`;
  if (state) present(ui.frame);
});
byId("opacity-value").textContent = `${byId("opacity").value} %`;
byId("export").addEventListener("change", (event) => {
  const chosen = offers.exports.find((item) => item.name === event.target.value);
  const none = Object.fromEntries(offers.exports.flatMap((item) => Object.keys(item.settings).map((key) => [key, null])));
  const quality = chosen.quality ? {} : { [offers.quality.key]: null };
  send([{ op: "settings", container: chosen.container, settings: { ...none, ...quality, ...chosen.settings } }]);
});
byId("quality").addEventListener("input", (event) => {
  const [low, high] = offers.quality.range;
  byId("quality-value").textContent = `CRF ${low + high - Number(event.target.value)}`;
});
byId("quality").addEventListener("change", (event) => {
  const [low, high] = offers.quality.range;
  send([{ op: "settings", settings: { [offers.quality.key]: low + high - Number(event.target.value) } }]);
});
byId("frame").addEventListener("change", (event) => {
  stop();
  go(Number(event.target.value));
  // The keys are the tools' again.
  byId("view").focus({ preventScroll: true });
});
byId("open-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const path = byId("path").value.trim();
  if (path) open(ask("POST", "open", { path }));
  else byId("open-error").textContent = "Type the path of a clip, or drop one above.";
});
const drop = byId("drop");
drop.addEventListener("click", () => byId("file").click());
drop.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), byId("file").click()));
byId("file").addEventListener("click", (event) => event.stopPropagation());
byId("file").addEventListener("change", (event) => { take(event.target.files[0]); event.target.value = ""; });
for (const place of [drop, byId("stage")]) {
  place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => { event.preventDefault(); place.classList.remove("over"); take(event.dataTransfer.files[0]); });
}
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());

begin();

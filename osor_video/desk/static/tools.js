// The tools: what the pointer does on the film, and what of it is shown meanwhile.
import { pen } from "./masks.js";
import { trace } from "./stage.js";

const CLOSE_PX = 9;
export const HINTS = {
  brush: "Paint over what is to go. [ and ] change the brush.",
  eraser: "Wipe away what is to stay.",
  box: "Drag a box around the object.",
  polygon: "Press the corners around the object; Enter or the first corner closes it.",
  select: "Press on the object; hold Alt for what is beside it.",
  hand: "Drag the film. The wheel zooms.",
};

export class Tools {
  // host: {target(), colour(), layer(), snap(), commit(layer), find(kind, values, off), busy}
  constructor(stage, host) {
    this.stage = stage;
    this.host = host;
    this.tool = "brush";
    this.size = 24;
    this.reset();
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.reset());
    canvas.addEventListener("pointerleave", () => { this.cursor = null; this.show(); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.tool === "polygon" && this.close());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  reset() {
    this.stroke = null;
    this.box = null;
    this.corners = [];
    this.points = { on: [], off: [] };
    this.base = null;
    this.dragging = null;
    this.cursor = null;
    this.stage.show({ live: null });
    this.show();
  }

  choose(tool) {
    if (tool !== this.tool) this.reset();
    this.tool = tool;
    this.show();
  }

  wheel(event) {
    event.preventDefault();
    const at = this.stage.onCanvas(event);
    this.stage.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), at.x, at.y);
  }

  down(event) {
    this.stage.canvas.focus({ preventScroll: true });
    this.stage.canvas.setPointerCapture(event.pointerId);
    const at = this.stage.place(event);
    if (event.button === 1 || this.space || (this.tool === "hand" && !this.host.comparing())) {
      this.dragging = "pan";
    } else if (this.host.comparing()) {
      this.dragging = "divide";
      this.divide(at);
    } else if (this.host.paints()) {
      this.begin(event, at);
    }
    this.last = event;
    this.show();
  }

  begin(event, at) {
    if (this.tool === "brush" || this.tool === "eraser") {
      this.stroke = { points: [at], size: this.size, erase: this.tool === "eraser" !== (event.button === 2) };
      this.stroke.target = String(this.host.target());
      this.host.layer();
      this.stage.show({ live: this.stroke });
    } else if (this.tool === "box") {
      this.box = { from: at, to: at };
    } else if (this.tool === "polygon") {
      this.corner(at);
    } else if (this.tool === "select" && this.inside(at)) {
      const side = event.altKey || event.button === 2 ? "off" : "on";
      this.points[side].push(this.whole(at));
      if (this.points.on.length) this.select();
    }
  }

  move(event) {
    const at = this.stage.place(event);
    this.cursor = at;
    if (this.dragging === "pan") this.stage.pan(event.clientX - this.last.clientX, event.clientY - this.last.clientY);
    else if (this.dragging === "divide") this.divide(at);
    else if (this.stroke) {
      for (const part of event.getCoalescedEvents?.() || [event]) this.stroke.points.push(this.stage.place(part));
      this.stage.draw();
    } else if (this.box) this.box.to = at;
    this.last = event;
    this.show();
  }

  up(event) {
    this.dragging = null;
    if (this.stroke) this.finishStroke();
    else if (this.box) this.finishBox(this.stage.place(event));
    this.show();
  }

  divide(at) {
    this.stage.divide = Math.min(1, Math.max(0, at.x / this.stage.film.width));
    this.stage.draw();
  }

  finishStroke() {
    const layer = this.host.layer();
    const context = pen(layer.mask);
    context.save();
    context.globalCompositeOperation = this.stroke.erase ? "destination-out" : "source-over";
    context.strokeStyle = "#fff";
    trace(context, this.stroke);
    context.restore();
    layer.kind = "key";
    layer.paint();
    this.stroke = null;
    this.stage.show({ live: null });
    this.host.commit(layer);
  }

  finishBox(at) {
    const { width, height } = this.stage.film;
    const clamp = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
    const [x0, x1] = [this.box.from.x, at.x].map((x) => clamp(x, width)).sort((a, b) => a - b);
    const [y0, y1] = [this.box.from.y, at.y].map((y) => clamp(y, height)).sort((a, b) => a - b);
    this.box = null;
    if (x1 - x0 < 3 || y1 - y0 < 3) return;
    if (this.host.snap()) this.add("box", [[x0, y0], [x1 - x0, y1 - y0]]);
    else this.fill((context) => context.fillRect(x0, y0, x1 - x0, y1 - y0));
  }

  inside(at) {
    return at.x >= 0 && at.y >= 0 && at.x < this.stage.film.width && at.y < this.stage.film.height;
  }

  whole(at) {
    const { width, height } = this.stage.film;
    return [Math.min(width - 1, Math.max(0, Math.floor(at.x))), Math.min(height - 1, Math.max(0, Math.floor(at.y)))];
  }

  corner(at) {
    const near = (CLOSE_PX * this.stage.ratio) / this.stage.view.scale;
    const [first] = this.corners;
    if (this.corners.length > 2 && Math.hypot(first.x - at.x, first.y - at.y) < near) this.close();
    else this.corners.push(at);
  }

  // Finish the polygon.
  close() {
    const corners = this.corners.filter((at, i, all) => !i || Math.hypot(at.x - all[i - 1].x, at.y - all[i - 1].y) > 0.5);
    this.corners = [];
    this.show();
    if (corners.length < 3) return;
    if (this.host.snap()) this.add("polygon", corners.map((at) => this.whole(at)));
    else {
      this.fill((context) => {
        context.beginPath();
        corners.forEach((at, i) => context[i ? "lineTo" : "moveTo"](at.x, at.y));
        context.fill();
      });
    }
  }

  fill(draw) {
    const layer = this.host.layer();
    const context = pen(layer.mask);
    context.fillStyle = "#fff";
    draw(context);
    layer.kind = "key";
    layer.paint();
    this.host.commit(layer);
  }

  // Find the object in a box or polygon and add it to the layer.
  async add(kind, values) {
    const found = await this.host.find(kind, values, []);
    if (!found) return;
    this.fill((context) => context.drawImage(found.mask, 0, 0));
  }

  async select() {
    this.base ||= this.host.layer().copy();
    const { on, off } = this.points;
    const found = await this.host.find("points", [...on], [...off]);
    if (!found || on !== this.points.on) return;
    const layer = this.host.layer();
    const context = pen(layer.mask);
    context.globalCompositeOperation = "copy";
    context.drawImage(this.base.mask, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.drawImage(found.mask, 0, 0);
    layer.kind = "key";
    layer.paint();
    this.host.commit(layer, true);
  }

  show() {
    const paints = this.host.paints();
    const shape = { hand: "grab", select: "crosshair", box: "crosshair", polygon: "crosshair" }[this.tool] || "none";
    const panning = this.dragging === "pan" ? "grabbing" : this.space || this.tool === "hand" ? "grab" : null;
    this.stage.canvas.style.cursor = this.host.comparing() ? panning || "ew-resize" : paints ? panning || shape : panning || "default";
    this.stage.show({ tool: paints ? (context, scale) => this.draw(context, scale) : null });
  }

  draw(context, scale) {
    const line = 1 / scale;
    const colour = this.host.colour();
    const outline = (path) => {
      for (const [style, width] of [["#000c", 3], [colour, 1.5]]) {
        context.strokeStyle = style;
        context.lineWidth = width * line;
        context.stroke(path);
      }
    };
    if (this.cursor && !this.space && (this.tool === "brush" || this.tool === "eraser")) {
      const path = new Path2D();
      path.arc(this.cursor.x, this.cursor.y, this.size / 2, 0, 7);
      for (const [style, width] of [["#000b", 3], ["#fff", 1.3]]) {
        context.strokeStyle = style;
        context.lineWidth = width * line;
        context.setLineDash(this.tool === "eraser" ? [4 * line, 3 * line] : []);
        context.stroke(path);
      }
      context.setLineDash([]);
    }
    if (this.box) {
      const { from, to } = this.box;
      const path = new Path2D();
      path.rect(from.x, from.y, to.x - from.x, to.y - from.y);
      outline(path);
    }
    if (this.corners.length) {
      const path = new Path2D();
      this.corners.forEach((at, i) => path[i ? "lineTo" : "moveTo"](at.x, at.y));
      if (this.cursor) path.lineTo(this.cursor.x, this.cursor.y);
      outline(path);
      this.dots(context, this.corners, colour, line);
    }
    if (this.tool === "select") {
      const centre = ([x, y]) => ({ x: x + 0.5, y: y + 0.5 });
      this.dots(context, this.points.on.map(centre), colour, line);
      this.dots(context, this.points.off.map(centre), "#16181a", line);
    }
  }

  dots(context, places, colour, line) {
    for (const at of places) {
      context.beginPath();
      context.arc(at.x, at.y, 4.5 * line, 0, 7);
      context.fillStyle = colour;
      context.fill();
      context.strokeStyle = "#fff";
      context.lineWidth = 1.5 * line;
      context.stroke();
    }
  }
}

// The film on the screen: zoom and place, masks over it, comparison of two pictures, and what a tool shows of itself.
import { canvasOf } from "./masks.js";

const PIXELS_FROM = 3;
const LARGEST = 32;

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.view = { scale: 1, x: 0, y: 0, fitted: true };
    this.film = { width: 16, height: 9 };
    this.scene = {};
    this.divide = 0.5;
    this.waiting = false;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    if (this.view.fitted) this.fit();
    this.draw();
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  open(width, height) {
    this.film = { width, height };
    this.scene = {};
    this.resize();
    this.fit();
  }

  fit() {
    // Below the film there is room for a line of words, so that nothing covers it.
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) * this.ratio;
    const [margin, below] = [0.9 * rem, 2.5 * rem];
    const height = this.canvas.height - margin - below;
    const scale = Math.min((this.canvas.width - 2 * margin) / this.film.width, height / this.film.height);
    this.view.scale = Math.max(scale, 0.02);
    this.view.x = (this.canvas.width - this.film.width * this.view.scale) / 2;
    this.view.y = margin + (height - this.film.height * this.view.scale) / 2;
    this.view.fitted = true;
    this.onzoom?.(this.view.scale / this.ratio);
    this.draw();
  }

  // Zoom so that the place (x, y) of the canvas stays where it is.
  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const scale = Math.min(LARGEST, Math.max(0.05, this.view.scale * factor));
    const change = scale / this.view.scale;
    this.view.x = x - (x - this.view.x) * change;
    this.view.y = y - (y - this.view.y) * change;
    this.view.scale = scale;
    this.view.fitted = false;
    this.onzoom?.(scale / this.ratio);
    this.draw();
  }

  pan(dx, dy) {
    this.view.x += dx * this.ratio;
    this.view.y += dy * this.ratio;
    this.view.fitted = false;
    this.draw();
  }

  // A pointer event's place on the film, in its pixels.
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * this.ratio - this.view.x) / this.view.scale;
    const y = ((event.clientY - box.top) * this.ratio - this.view.y) / this.view.scale;
    return { x, y };
  }

  onCanvas(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.ratio, y: (event.clientY - box.top) * this.ratio };
  }

  show(scene) {
    Object.assign(this.scene, scene);
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.render();
    });
  }

  render() {
    const { context, canvas, view, film, scene } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
    canvas.dataset.place = JSON.stringify([view.scale, view.x, view.y].map((value) => value / this.ratio));
    context.imageSmoothingEnabled = view.scale < PIXELS_FROM * this.ratio;
    context.imageSmoothingQuality = "high";
    if (scene.mode === "difference" && scene.before && scene.after) this.difference();
    else if (scene.mode === "alpha" && scene.alpha) context.drawImage(scene.alpha, 0, 0, film.width, film.height);
    else if (scene.mode === "result" && scene.after) context.drawImage(scene.after, 0, 0, film.width, film.height);
    else if (scene.before) context.drawImage(scene.before, 0, 0, film.width, film.height);
    if (scene.mode === "slider" && scene.after) this.slider();
    if (scene.layers) this.masks();
    scene.tool?.(context, view.scale / this.ratio);
  }

  masks() {
    const { context, scene, film } = this;
    context.save();
    context.imageSmoothingEnabled = this.view.scale < PIXELS_FROM * this.ratio;
    context.globalAlpha = scene.opacity ?? 0.7;
    for (const [target, layer] of Object.entries(scene.layers)) {
      if (scene.hidden?.has(target)) continue;
      context.drawImage(scene.live?.target === target ? this.withStroke(layer, scene.live) : layer.tint, 0, 0, film.width, film.height);
    }
    context.restore();
  }

  // A layer with the stroke that is being painted.
  withStroke(layer, live) {
    this.scratch ||= canvasOf(1, 1);
    const { scratch } = this;
    if (scratch.width !== layer.tint.width || scratch.height !== layer.tint.height) {
      scratch.width = layer.tint.width;
      scratch.height = layer.tint.height;
    }
    const context = scratch.getContext("2d");
    context.globalCompositeOperation = "copy";
    context.drawImage(layer.tint, 0, 0);
    context.globalCompositeOperation = live.erase ? "destination-out" : "source-over";
    context.strokeStyle = live.erase ? "#000" : `${layer.colour}9e`;
    trace(context, live);
    return scratch;
  }

  slider() {
    const { context, film, scene } = this;
    const x = film.width * this.divide;
    context.save();
    context.beginPath();
    context.rect(x, 0, film.width - x, film.height);
    context.clip();
    context.drawImage(scene.after, 0, 0, film.width, film.height);
    context.restore();
    const unit = this.ratio / this.view.scale;
    context.fillStyle = "#fff";
    context.fillRect(x - 0.75 * unit, 0, 1.5 * unit, film.height);
    context.beginPath();
    context.arc(x, film.height / 2, 13 * unit, 0, 7);
    context.fillStyle = "#fffffff0";
    context.fill();
    context.strokeStyle = "#23272c";
    context.lineWidth = 1.8 * unit;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(x + side * 3.5 * unit, film.height / 2 - 4 * unit);
      context.lineTo(x + side * 7.5 * unit, film.height / 2);
      context.lineTo(x + side * 3.5 * unit, film.height / 2 + 4 * unit);
    }
    context.stroke();
  }

  difference() {
    const { film, scene } = this;
    this.other ||= canvasOf(1, 1);
    this.other.width = film.width;
    this.other.height = film.height;
    const context = this.other.getContext("2d");
    context.drawImage(scene.before, 0, 0, film.width, film.height);
    context.globalCompositeOperation = "difference";
    context.drawImage(scene.after, 0, 0, film.width, film.height);
    context.globalCompositeOperation = "lighter";
    context.drawImage(this.other, 0, 0);
    context.drawImage(this.other, 0, 0);
    this.context.drawImage(this.other, 0, 0);
  }
}

export function trace(context, stroke) {
  context.lineWidth = stroke.size;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.beginPath();
  const [first, ...rest] = stroke.points;
  context.moveTo(first.x, first.y);
  context.lineTo(first.x + 0.01, first.y);
  for (const point of rest) context.lineTo(point.x, point.y);
  context.stroke();
}

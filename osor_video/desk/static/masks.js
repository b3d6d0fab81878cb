// The masks of a frame as layers: white where the object is, and tinted for the eye.
import { ask } from "./api.js";

const FILL = 0.62;

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export function pen(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

async function decoded(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

export class Layer {
  constructor(width, height, colour, kind = "key") {
    this.mask = canvasOf(width, height);
    this.tint = canvasOf(width, height);
    this.colour = colour;
    this.kind = kind;
    this.png = null;
  }

  static async from(png, colour, kind, width, height) {
    const layer = new Layer(width, height, colour, kind);
    const bitmap = await decoded(png);
    const context = pen(layer.mask);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const data = context.getImageData(0, 0, width, height);
    const pixels = new Uint32Array(data.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = pixels[i] & 0x80 ? 0xffffffff : 0;
    context.putImageData(data, 0, 0);
    layer.png = png;
    layer.paint(data);
    return layer;
  }

  copy() {
    const layer = new Layer(this.mask.width, this.mask.height, this.colour, this.kind);
    pen(layer.mask).drawImage(this.mask, 0, 0);
    layer.paint();
    return layer;
  }

  // Make the mask hard again and tint it: half-clear inside, its rim drawn; what is out of date or only held is fainter.
  paint(given) {
    const { width, height } = this.mask;
    const context = pen(this.mask);
    const data = given || context.getImageData(0, 0, width, height);
    const inside = new Uint32Array(data.data.buffer);
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(this.colour.slice(at, at + 2), 16));
    const base = (b << 16) | (g << 8) | r;
    const faint = this.kind === "stale" || this.kind === "held";
    const fill = ((Math.round(255 * FILL * (faint ? 0.5 : 1)) << 24) | base) >>> 0;
    const rim = (((faint ? 170 : 255) << 24) | base) >>> 0;
    const tinted = new ImageData(width, height);
    const out = new Uint32Array(tinted.data.buffer);
    this.area = 0;
    for (let i = 0; i < inside.length; i++) inside[i] = inside[i] >>> 31 ? 0xffffffff : 0;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (!inside[i]) continue;
        this.area++;
        const edge = (x > 0 && !inside[i - 1]) || (x < width - 1 && !inside[i + 1]) || (y > 0 && !inside[i - width]) || (y < height - 1 && !inside[i + width]);
        out[i] = edge ? rim : fill;
      }
    }
    if (!given) context.putImageData(data, 0, 0);
    this.tint.getContext("2d").putImageData(tinted, 0, 0);
    return this;
  }

  async encode() {
    const blob = await new Promise((resolve) => this.mask.toBlob(resolve, "image/png"));
    const text = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(blob);
    });
    this.png = text.slice(text.indexOf(",") + 1);
    return this.png;
  }
}

// Layers of the frames seen lately, until the project moves on.
export class Masks {
  constructor(session, width, height) {
    Object.assign(this, { session, width, height });
    this.kept = new Map();
    this.coming = new Map();
  }

  get(frame) {
    return this.kept.get(frame)?.layers;
  }

  fresh(frame, revision) {
    return this.kept.get(frame)?.revision === revision;
  }

  forget() {
    this.kept.clear();
  }

  async load(frame, revision, colours) {
    if (this.fresh(frame, revision)) return this.kept.get(frame).layers;
    const name = `${frame}:${revision}`;
    if (!this.coming.has(name)) {
      this.coming.set(name, this.fetch(frame, revision, colours).finally(() => this.coming.delete(name)));
    }
    return this.coming.get(name);
  }

  async fetch(frame, revision, colours) {
    const said = await ask("GET", `sessions/${this.session}/masks/${frame}`);
    const serial = this.serial;
    const known = this.kept.get(frame)?.layers || {};
    const layers = {};
    const given = { ...said.objects };
    for (const region of ["also", "keep"]) if (said[region]) given[region] = said[region];
    for (const [target, item] of Object.entries(given)) {
      const old = known[target];
      const same = old && old.png === item.png && old.kind === item.kind && old.colour === colours[target];
      layers[target] = same ? old : await Layer.from(item.png, colours[target] || "#cccccc", item.kind, this.width, this.height);
    }
    // What was painted meanwhile is newer than what was asked for.
    if (serial !== this.serial && this.kept.has(frame)) return this.kept.get(frame).layers;
    this.kept.delete(frame);
    this.kept.set(frame, { revision: Math.min(revision, said.revision), layers });
    while (this.kept.size > 40) this.kept.delete(this.kept.keys().next().value);
    return layers;
  }
}

// Frames of one film by number: fetched ahead, kept while there is room.
import { picture } from "./api.js";

const ROOM_BYTES = 420e6;
const AT_ONCE = 3;

export class Reel {
  constructor(address, frames, width, height) {
    this.address = address;
    this.frames = frames;
    this.most = Math.max(8, Math.min(400, Math.floor(ROOM_BYTES / (4 * width * height))));
    this.kept = new Map();
    this.coming = new Map();
    this.wanted = [];
  }

  get(index) {
    return this.kept.get(index);
  }

  // The frame, before all that was asked for ahead of time.
  load(index) {
    const found = this.kept.get(index);
    if (found) {
      this.kept.delete(index);
      this.kept.set(index, found);
      return Promise.resolve(found);
    }
    return this.coming.get(index) || this.fetch(index);
  }

  ahead(index, count) {
    this.wanted = [];
    for (let next = index; next < Math.min(index + Math.min(count, this.most - 2), this.frames); next++) {
      if (!this.kept.has(next) && !this.coming.has(next)) this.wanted.push(next);
    }
    this.pump();
  }

  pump() {
    while (this.wanted.length && this.coming.size < AT_ONCE) {
      this.fetch(this.wanted.shift()).catch(() => { this.wanted = []; });
    }
  }

  fetch(index) {
    const promise = picture(this.address(index)).then(
      (bitmap) => {
        this.coming.delete(index);
        this.kept.set(index, bitmap);
        while (this.kept.size > this.most) {
          const [oldest, old] = this.kept.entries().next().value;
          this.kept.delete(oldest);
          old.close();
        }
        this.pump();
        return bitmap;
      },
      (error) => {
        this.coming.delete(index);
        throw error;
      },
    );
    this.coming.set(index, promise);
    return promise;
  }

  close() {
    for (const bitmap of this.kept.values()) bitmap.close();
    this.kept.clear();
    this.wanted = [];
  }
}

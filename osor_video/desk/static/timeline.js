// The strip below the film: thumbnails, how far each frame's mask is to be trusted, the user's masks, and where we are.

const DOUBTFUL = 0.6;
const FLAGS = 12;

export class Timeline {
  constructor(parts, go) {
    Object.assign(this, parts);
    this.go = go;
    this.frame = 0;
    this.frames = 1;
    const { strip } = this;
    strip.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button")) return;
      strip.setPointerCapture(event.pointerId);
      this.held = true;
      this.seek(event);
    });
    strip.addEventListener("pointermove", (event) => this.held && this.seek(event));
    for (const name of ["pointerup", "pointercancel"]) strip.addEventListener(name, () => { this.held = false; });
    new ResizeObserver(() => this.resize()).observe(strip);
  }

  seek(event) {
    const box = this.strip.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    this.go(Math.min(this.frames - 1, Math.max(0, Math.floor(share * this.frames))));
  }

  open(state) {
    this.state = state;
    this.frames = state.frames;
    this.strip.setAttribute("aria-valuemax", state.frames - 1);
    this.slots = 0;
    this.resize();
  }

  resize() {
    if (!this.state) return;
    const box = this.thumbs.getBoundingClientRect();
    const width = Math.max(1, (box.height * this.state.width) / this.state.height);
    const slots = Math.max(1, Math.min(this.frames, Math.round(box.width / width)));
    if (slots !== this.slots) this.fill(slots);
    this.update(this.state);
  }

  // Thumbnails one after the other, so that the film itself need not wait for them.
  async fill(slots) {
    this.slots = slots;
    const round = (this.round = {});
    this.thumbs.replaceChildren(...Array.from({ length: slots }, () => document.createElement("img")));
    const images = [...this.thumbs.children];
    for (const [slot, image] of images.entries()) {
      if (this.round !== round) return;
      image.alt = "";
      const frame = Math.min(this.frames - 1, Math.floor(((slot + 0.5) / slots) * this.frames));
      image.src = `/api/sessions/${this.state.id}/thumbs/${frame}.jpg`;
      try {
        await image.decode();
        image.classList.add("there");
      } catch { /* a damaged frame stays dark: the film says what is wrong when it is shown */ }
    }
  }

  update(state) {
    this.state = state;
    this.bars(state);
    this.flag(state);
    this.mark(this.frame);
  }

  bars(state) {
    const { confidence } = this;
    const ratio = window.devicePixelRatio || 1;
    const box = confidence.getBoundingClientRect();
    confidence.width = Math.max(1, Math.round(box.width * ratio));
    confidence.height = Math.max(1, Math.round(box.height * ratio));
    const context = confidence.getContext("2d");
    const { width, height } = confidence;
    const top = Math.round(height * 0.38);
    const each = width / state.frames;
    context.fillStyle = "#1b1d20";
    context.fillRect(0, top, width, height - top);
    for (let x = 0; x < width;) {
      const first = Math.floor((x / width) * state.frames);
      const end = Math.max(first + 1, Math.floor(((x + 1) / width) * state.frames));
      const until = Math.max(x + 1, Math.round(end * each));
      const scores = state.scores.slice(first, end);
      if (!scores.includes(null)) {
        const worst = Math.min(...scores);
        const share = 0.15 + 0.85 * worst;
        context.fillStyle = worst >= DOUBTFUL ? "#5d8a6c" : worst >= 0.4 ? "#d39a4d" : "#d9655d";
        const gap = until - x > 3 ? 1 : 0;
        context.fillRect(x, height - (height - top) * share, until - x - gap, (height - top) * share);
      }
      x = until;
    }
    const size = Math.min(top * 0.42, 5 * ratio);
    const diamond = (frame, colour) => {
      const x = (frame + 0.5) * each;
      context.fillStyle = colour;
      context.beginPath();
      context.moveTo(x, top / 2 - size);
      context.lineTo(x + size, top / 2);
      context.lineTo(x, top / 2 + size);
      context.lineTo(x - size, top / 2);
      context.fill();
    };
    for (const frame of state.keep) diamond(frame, "#8fd3a0");
    for (const frame of state.also) diamond(frame, "#e58fb0");
    for (const object of state.objects) for (const frame of object.keys) diamond(frame, object.colour);
  }

  flag(state) {
    const shown = state.doubts.slice(0, FLAGS);
    const name = JSON.stringify(shown);
    if (name === this.flagged) return;
    this.flagged = name;
    this.flags.replaceChildren(
      ...shown.map((doubt) => {
        const button = document.createElement("button");
        button.textContent = "!";
        button.title = `Frame ${doubt.worst}: confidence ${doubt.score.toFixed(2)}`;
        button.setAttribute("aria-label", `Go to doubtful frame ${doubt.worst}, confidence ${doubt.score.toFixed(2)}`);
        button.style.left = `${((doubt.worst + 0.5) / state.frames) * 100}%`;
        button.addEventListener("click", () => this.go(doubt.worst));
        return button;
      }),
    );
  }

  mark(frame) {
    this.frame = frame;
    this.playhead.style.left = `${((frame + 0.5) / this.frames) * 100}%`;
    this.strip.setAttribute("aria-valuenow", frame);
    this.strip.setAttribute("aria-valuetext", `Frame ${frame} of ${this.frames}`);
  }
}

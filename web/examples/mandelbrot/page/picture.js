// A picture in the memory of a process, drawn by all its threads.
//
// Arguments and pixels are typed arrays over that memory: nothing is copied on the way in, and
// a finished row is copied once, because canvases do not read shared memory.

import { Process } from './threadwork/index.js';

const WORD = 4;
/** How often new rows are looked for, in ms. */
const FRAME = 16;

export class Picture {
  #process;
  #at;
  #view;
  #palette;
  #pixels;
  #stop;
  #ready;
  /** Kept when the last picture that was asked for is drawn, or stopped. */
  #last = Promise.resolve(true);
  /** Counts what was asked for; only the latest is drawn. */
  #asked = 0;

  /** Starts a process of the program `mandelbrot.wasm`, and makes room for the picture. */
  static async create(program, width, height, palette) {
    const process = new Process(program);
    const sizes = [24, palette.length * WORD, width * height * WORD, WORD, height * WORD];
    const at = [];
    for (const size of sizes) at.push((await process.call('allocate', size)) >>> 0);
    return new Picture(process, width, height, palette, at);
  }

  constructor(process, width, height, palette, at) {
    Object.assign(this, { width, height });
    this.#process = process;
    this.#at = at;
    // The memory may have grown since it was made, so its buffer is asked for last.
    const { buffer } = process.memory;
    this.#view = new Float64Array(buffer, at[0], 3);
    this.#palette = new Uint32Array(buffer, at[1], palette.length);
    this.#palette.set(palette);
    this.#pixels = new Uint8ClampedArray(buffer, at[2], width * height * WORD);
    this.#stop = new Int32Array(buffer, at[3], 1);
    this.#ready = new Int32Array(buffer, at[4], height);
  }

  /** How many threads draw. */
  get threads() {
    // All but the main one, which waits for them.
    return this.#process.stats().threadsAlive - 1;
  }

  /** Ends the process; kept when its threads are gone. */
  async close() {
    this.#process.kill();
    await this.#process.wait();
  }

  /**
   * Draws what is `width` wide around (`re`, `im`), in place of what is being drawn.
   * `show(y, pixels)` is called for each row when it is ready. Kept with true when all is
   * shown, with false if a later call took its place.
   */
  draw(view, show) {
    const number = ++this.#asked;
    Atomics.store(this.#stop, 0, 1);
    this.#last = this.#last.then(() => number === this.#asked && this.#draw(view, show));
    return this.#last;
  }

  async #draw({ re, im, width }, show) {
    this.#view.set([re, im, width]);
    this.#ready.fill(0);
    Atomics.store(this.#stop, 0, 0);
    const [view, palette, pixels, stop, ready] = this.#at;
    const drawing = this.#process.call(
      'draw', view, palette, this.#palette.length, pixels, this.width, this.height, stop, ready,
    );
    let missing = Array.from({ length: this.height }, (_, y) => y);
    const showReady = () => {
      missing = missing.filter((y) => {
        const isReady = Atomics.load(this.#ready, y) === 1;
        if (isReady) show(y, this.#row(y));
        return !isReady;
      });
    };
    let rows;
    while (rows === undefined) {
      rows = await Promise.race([drawing, new Promise((passed) => setTimeout(passed, FRAME))]);
      showReady();
    }
    return rows === this.height;
  }

  /** The pixels of a row, where they are. */
  #row(y) {
    const bytes = this.width * WORD;
    return this.#pixels.subarray(y * bytes, (y + 1) * bytes);
  }
}

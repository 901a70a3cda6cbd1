// The picture of a History on a canvas: a row for each lane, from left to right the time
// since the start. Running fills a row's height, waiting half of it, idle is a thin line:
// it can be read without colours, too.

import { duration } from './text.js';

const AXIS = 22;
const LABELS = 34;
const ROW = { most: 32, least: 3, gap: 2 };
/** The height that rows are made to fit into, if that leaves them high enough. */
const ROOM = 280;

export class Timeline {
  #canvas;
  #empty;
  #tip;
  #history = null;
  #colours = null;
  #pointer = null;

  constructor(canvas, empty, tip) {
    this.#canvas = canvas;
    this.#empty = empty;
    this.#tip = tip;
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#colours = null;
      this.draw();
    });
    canvas.addEventListener('pointermove', (event) => this.#point(event));
    canvas.addEventListener('pointerleave', () => this.#point(null));
    this.draw();
  }

  /** Shows this history from now on. */
  show(history) {
    this.#history = history;
    this.#canvas.setAttribute('aria-label', 'Threads over time; the table below has the figures');
    this.draw();
  }

  draw() {
    const history = this.#history;
    const rows = history?.lanes.length ?? 0;
    this.#empty.hidden = rows > 0;
    const width = this.#canvas.parentElement.clientWidth;
    const row = Math.min(ROW.most, Math.max(ROW.least, Math.floor(ROOM / Math.max(rows, 1))));
    const height = Math.max(120, rows * row + AXIS);
    const pen = this.#prepare(width, height);
    if (rows === 0 || width <= LABELS) return;
    const view = { pen, width: width - LABELS, row, height, end: niceEnd(history.now) };
    this.#drawAxis(view, rows);
    history.lanes.forEach((lane, index) => this.#drawLane(view, lane, index));
    this.#drawTip(view);
  }

  /** The canvas in this size, empty, in the screen's own resolution. */
  #prepare(width, height) {
    const canvas = this.#canvas;
    const scale = devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    this.#colours ??= readColours(canvas);
    return pen;
  }

  #drawAxis({ pen, width, row, end }, rows) {
    const step = niceStep(end / Math.max(2, Math.floor(width / 90)));
    const bottom = rows * row;
    pen.font = '11px system-ui, sans-serif';
    pen.textBaseline = 'top';
    for (let time = 0; time <= end * 1.0001; time += step) {
      const x = LABELS + (time / end) * width;
      pen.fillStyle = this.#colours.edge;
      pen.fillRect(Math.round(x), 0, 1, bottom + 4);
      pen.fillStyle = this.#colours.quiet;
      pen.textAlign = time === 0 ? 'left' : x > LABELS + width - 20 ? 'right' : 'center';
      pen.fillText(axisLabel(time, step, end), x, bottom + 7);
    }
    pen.textAlign = 'left';
    pen.textBaseline = 'middle';
    const every = Math.ceil(13 / row);
    for (let index = 0; index < rows; index += every) {
      pen.fillText(index === 0 ? 'main' : String(index), 2, index * row + row / 2);
    }
  }

  #drawLane({ pen, width, row, end }, lane, index) {
    const history = this.#history;
    const gap = row > 8 ? ROW.gap : 1;
    const top = index * row + gap;
    const tall = row - 2 * gap + 1;
    const last = (history.now / end) * width;
    pen.fillStyle = this.#colours.idle;
    pen.fillRect(LABELS, top + Math.floor(tall / 2), last, 1);
    for (let x = 0; x < last; x += 1) {
      const [from, to] = [x, x + 1].map((at) => (at / width) * end);
      const { running, waiting } = history.shares(lane, from, to);
      // What waits is drawn first and half as high, what runs over it.
      if (waiting > 0) {
        pen.globalAlpha = 0.35 + 0.65 * waiting;
        pen.fillStyle = this.#colours.waiting;
        pen.fillRect(LABELS + x, top + tall * 0.25, 1, Math.max(1, tall * 0.5));
      }
      if (running > 0) {
        pen.globalAlpha = 1;
        pen.fillStyle = this.#colours.running;
        const high = Math.max(1, tall * running);
        pen.fillRect(LABELS + x, top + tall - high, 1, high);
      }
    }
    pen.globalAlpha = 1;
  }

  #point(event) {
    this.#pointer = event === null ? null : { x: event.offsetX, y: event.offsetY };
    this.draw();
  }

  #drawTip({ width, row, end }) {
    const history = this.#history;
    const tip = this.#tip;
    const at = this.#pointer;
    const lane = history.lanes[Math.floor((at?.y ?? -1) / row)];
    const time = at === null ? -1 : ((at.x - LABELS) / width) * end;
    tip.hidden = lane === undefined || time < 0 || time > history.now;
    if (tip.hidden) return;
    const { running, waiting } = history.shares(lane, time, time + end / width);
    const states = [
      ['running', running],
      ['waiting', waiting],
      ['idle', 1 - running - waiting],
    ].filter(([, share]) => share > 0.005);
    const what = states.map(([name, share]) =>
      states.length === 1 ? name : `${name} ${Math.round(share * 100)} %`,
    );
    tip.textContent = `${duration(time)}: ${what.join(', ')}`;
    const left = Math.min(at.x + 12, LABELS + width - tip.offsetWidth);
    tip.style.left = `${left}px`;
    tip.style.top = `${Math.max(0, at.y - 30)}px`;
  }
}

/** All labels of an axis in one unit, and no more precise than its steps. */
function axisLabel(time, step, end) {
  if (time === 0) return '0';
  const [unit, size] = end < 1000 ? ['ms', 1] : ['s', 1000];
  const digits = Math.max(0, -Math.floor(Math.log10(step / size) + 1e-9));
  return `${(time / size).toFixed(digits)} ${unit}`;
}

/** The end of the axis: a little more than now, so that it does not move all the time. */
function niceEnd(now) {
  const step = niceStep(Math.max(now, 1) / 8);
  return Math.ceil(Math.max(now, 1) / step) * step;
}

/** The next of 1, 2, 5, 10, 20, ... */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= least * 0.9999);
}

function readColours(canvas) {
  const style = getComputedStyle(canvas);
  const names = ['running', 'waiting', 'idle', 'edge', 'quiet'];
  return Object.fromEntries(
    names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
}

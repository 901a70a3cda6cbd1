/** Colours that go around a circle, and black for the set; as canvases have them in memory. */
export function palette(count) {
  const channel = (n, phase) => Math.round(127.5 - 127.5 * Math.cos(Math.sqrt(n) * 0.45 + phase));
  const colour = (n) => channel(n, 0.9) | (channel(n, 0.5) << 8) | (channel(n, 0.1) << 16);
  const colours = Uint32Array.from({ length: count }, (_, n) => colour(n) | OPAQUE);
  colours[count - 1] = OPAQUE;
  return colours;
}

const OPAQUE = 0xff000000;

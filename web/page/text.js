// Numbers for people.

/** A span of milliseconds. @param {number} ms */
export function duration(ms) {
  const [name, size] = ms < 1000 ? ['ms', 1] : ['s', 1000];
  return `${(ms / size).toFixed(significant(ms / size))} ${name}`;
}

/** Digits after the point that make three in all. */
function significant(value) {
  return value >= 100 ? 0 : value >= 10 ? 1 : 2;
}

/** @param {number} count @param {string} one @param {string} many */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

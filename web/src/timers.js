// Timers of any length. A timer of the host's waits for 2^31 - 1 ms at most, and with more not
// at all.

const LONGEST = 2 ** 31 - 1;

/** Acts after so many ms, never after Infinity. Returns how to prevent it. */
export function after(milliseconds, act) {
  let timer;
  const wait = (left) => {
    if (left === Infinity) return;
    const part = Math.min(left, LONGEST);
    timer = setTimeout(() => (left > part ? wait(left - part) : act()), part);
  };
  wait(milliseconds);
  return () => clearTimeout(timer);
}

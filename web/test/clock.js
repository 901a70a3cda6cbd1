// A system's clock that is set while threads run, as JavaScript sees it.

/**
 * From the moment `at` on, `Date.now` of this thread is `by` ms ahead. Returns the clock that was not set, and what
 * takes all of it back.
 */
export function setClock({ at, by }) {
  const { now } = Date;
  Date.now = () => now() + (now() < at ? 0 : by);
  return { now, restore: () => void (Date.now = now) };
}

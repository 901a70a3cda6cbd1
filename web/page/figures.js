// The numbers below the picture, and the table that says the same for those who cannot
// see it.

import { counted, duration } from './text.js';

const $ = (id) => document.getElementById(id);
/** Rows of the table: more are of no use to anybody. */
const MOST_ROWS = 200;

/**
 * @param {import('./history.js').History} history
 * @param {{ threadsStarted: number, threadsPeak: number }} stats
 * @param {number} cores
 */
export function showFigures(history, stats, cores) {
  set('elapsed', duration(history.now));
  set('started', stats.threadsStarted.toLocaleString('en'));
  set('peak', stats.threadsPeak.toLocaleString('en'));
  set('average', history.average.toFixed(2), `on ${counted(cores, 'core')}`);
}

/** Writes only what has changed, so that nothing is laid out for nothing. */
function set(id, value, unit = '') {
  const text = `${value} ${unit}`;
  const element = $(id);
  if (element.textContent === text) return;
  element.textContent = `${value} `;
  if (unit === '') return;
  const small = document.createElement('small');
  small.textContent = unit;
  element.append(small);
}

/** @param {import('./history.js').History} history */
export function showRows(history) {
  const shown = [...history.threads.values()].slice(0, MOST_ROWS);
  const rows = shown.map((thread) => {
    const name = thread.id === 0 ? 'main' : String(thread.id);
    const { running, waiting } = history.timesOf(thread);
    return row([name, thread.state ?? 'ended', duration(running), duration(waiting)]);
  });
  const more = history.started - shown.length;
  if (more > 0) rows.push(row([`and ${more.toLocaleString('en')} more`, '', '', '']));
  $('rows').replaceChildren(...rows);
}

function row(texts) {
  const element = document.createElement('tr');
  texts.forEach((text, index) => {
    const cell = document.createElement(index === 0 ? 'th' : 'td');
    if (index === 0) cell.scope = 'row';
    cell.textContent = text;
    element.append(cell);
  });
  return element;
}

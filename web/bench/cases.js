// What is measured. `method` names what a contestant exports; one without it has no row.

import * as emnapi from './contestants/emnapi.js';
import * as emscripten from './contestants/emscripten.js';
import * as native from './contestants/native.js';
import * as rayon from './contestants/rayon.js';
import * as threadwork from './contestants/threadwork.js';

/** The first is the baseline. */
export const contestants = [threadwork, native, emnapi, emscripten, rayon];

const second = 1000;

/** The cases; `budget` is when no more rounds are begun, in ms. */
export const cases = (isQuick) => {
  const cut = ({ rounds, budget, ...rest }) =>
    isQuick ? { ...rest, rounds: Math.min(rounds, 3), budget: budget / 8 } : { ...rest, rounds, budget };
  return [
    { name: 'ready pool of 4', unit: 'ms', method: 'ready', rounds: 15, budget: 12 * second },
    { name: 'spawn + join, warm', unit: 'us', method: 'spawnJoin', rounds: 15, budget: 8 * second },
    { name: 'nested spawn + join, warm', unit: 'us', method: 'nested', rounds: 15, budget: 5 * second },
    { name: 'spawn, cold', unit: 'us', method: 'coldSpawn', rounds: 15, budget: 8 * second },
    { name: 'mandelbrot, all cores / one', unit: 'of one', method: 'mandelbrot', rounds: 7, budget: 12 * second },
    { name: 'merge sort, all cores / one', unit: 'of one', method: 'mergeSort', rounds: 7, budget: 12 * second },
    { name: 'memory for each worker', unit: 'KiB', method: 'memory', rounds: 5, budget: 10 * second },
    { name: 'kill', unit: 'ms', method: 'kill', rounds: 9, budget: 6 * second },
  ].map(cut);
};

export const sizes = (isQuick) =>
  isQuick ? { mandelbrot: 320, mergeSort: 1_000_000 } : { mandelbrot: 640, mergeSort: 4_000_000 };

// The page: one program, run as often as somebody likes.
//
// `session` is what runs now, or null. Buttons look at it, and say what they cannot do by
// aria-disabled: a button that is disabled loses the keyboard's focus.

import { isolate } from './isolate.js';
import { History } from './history.js';
import { commandFor, describe, mostThreads, namesThreads } from './program.js';
import { prepare, warmUp } from './session.js';
import { Terminal } from './terminal.js';
import { counted, duration } from './text.js';
import { Timeline } from './timeline.js';
import { showFigures, showRows } from './figures.js';
import { join, split } from './words.js';

const $ = (id) => document.getElementById(id);
const terminal = new Terminal($('terminal'));
const timeline = new Timeline($('canvas'), $('timeline-empty'), $('timeline-tip'));
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const cores = navigator.hardwareConcurrency || 1;

/** @type {import('./program.js').Description} */
let about;
/** @type {import('./session.js').Session | null} */
let session = null;
/** Set while something is on its way that Stop ends: a session, or several in a row. */
let busy = false;
let stopped = false;
/** Without shared memory, programs run on one thread, and those that start others fail. */
let isAlone = false;

async function start() {
  const obstacle = await isolate();
  isAlone = obstacle !== null;
  $('cores').textContent = counted(cores, 'core');
  if (obstacle) showNotice(obstacle);
  else warmUp();
  about = await describe();
  document.title = `${about.name} – Threadwork`;
  $('name').textContent = about.name;
  $('arguments').value = join(about.args);
  const told = Number.parseInt(about.env.RAYON_NUM_THREADS, 10);
  $('threads').max = String(mostThreads(about));
  $('threads').value = String(told > 0 ? told : Math.min(cores, mostThreads(about)));
  $('controls').addEventListener('submit', (event) => {
    event.preventDefault();
    if (!busy) occupied(runOnce);
  });
  $('stop').addEventListener('click', stop);
  $('compare').addEventListener('click', () => {
    if (!busy && $('controls').reportValidity()) occupied(compare);
  });
  $('input-form').addEventListener('submit', sendLine);
  $('end-input').addEventListener('click', endInput);
  $('copy').addEventListener('click', copyOutput);
  $('arguments').addEventListener('input', checkArguments);
  await occupied(runOnce);
}

/** Does something that Stop can end, and shows what goes wrong with it. */
async function occupied(work) {
  busy = true;
  stopped = false;
  enable();
  try {
    await work();
  } catch (error) {
    showStatus('bad', error.message);
    showReport('What the browser says', error.cause?.message);
  } finally {
    busy = false;
    session = null;
    enable();
  }
}

function enable() {
  const can = (id, yes) => $(id).setAttribute('aria-disabled', String(!yes));
  can('run', !busy);
  can('compare', !busy);
  can('stop', busy && !stopped);
  const input = session?.takesInput ?? false;
  can('send', input);
  can('end-input', input);
}

async function runOnce() {
  const { args, threads } = wishes();
  terminal.clear();
  showStatus('loading', 'Loading');
  showReport();
  const program = await prepare(about);
  if (stopped) {
    showStatus('idle', 'Stopped before it started');
    return;
  }
  const { ended } = await run(program, args, threads);
  showEnding(ended);
}

/**
 * Runs the program to its end.
 * @param {import('./session.js').Program} program
 */
async function run(program, args, threads) {
  const history = new History();
  timeline.show(history);
  const { args: words, env } = commandFor(about, args, threads);
  session = await program.start({
    args: words,
    env,
    history,
    write: (text, stream) => terminal.write(text, stream),
  });
  enable();
  if (stopped) session.kill();
  showStatus(
    'running',
    isAlone ? 'Running without threads' : `Running on ${counted(threads, 'thread')}`,
  );
  const following = follow(session, history);
  const ended = await session.ended;
  session = null;
  enable();
  await following;
  return { ended, started: history.started };
}

/** Shows what happens until the session has ended, and then the end. */
async function follow(of, history) {
  let over = false;
  const done = of.ended.finally(() => (over = true)).catch(() => {});
  const show = () => {
    timeline.draw();
    showFigures(history, of.stats, cores);
    if ($('table').open) showRows(history);
  };
  while (!over) {
    of.catchUp();
    show();
    await Promise.race([done, pause()]);
  }
  show();
  showRows(history);
}

/** Until the next look: a frame, or half a second where things should not move. */
function pause() {
  return new Promise((resolve) => {
    if (calm.matches || document.hidden) setTimeout(resolve, 500);
    else setTimeout(() => requestAnimationFrame(resolve), 50);
  });
}

/** Once with the threads that were asked for, once with one. */
async function compare() {
  const { args, threads } = wishes();
  if (threads === 1 || isAlone) {
    const more = isAlone ? '' : ': choose more above, then compare';
    showVerdict(`That is one thread already${more}.`);
    return;
  }
  terminal.clear();
  showReport();
  showVerdict('');
  $('bars').hidden = true;
  showStatus('loading', 'Loading');
  const program = await prepare(about);
  const times = [];
  for (const count of [threads, 1]) {
    if (stopped) break;
    terminal.note(`With ${counted(count, 'thread')}:`);
    const { ended, started } = await run(program, args, count);
    showEnding(ended);
    if (ended.kind !== 'exited') {
      showVerdict(
        `Nothing to compare: with ${counted(count, 'thread')} the program did not get to its end.`,
      );
      return;
    }
    times.push({ count, elapsed: ended.elapsed, started });
  }
  if (times.length === 2) showComparison(...times, args);
}

function showComparison(many, one, args) {
  $('bars').hidden = false;
  $('many-name').textContent = counted(many.count, 'thread');
  $('many-time').textContent = duration(many.elapsed);
  $('one-time').textContent = duration(one.elapsed);
  const longest = Math.max(many.elapsed, one.elapsed);
  $('many').style.width = `${(100 * many.elapsed) / longest}%`;
  $('one').style.width = `${(100 * one.elapsed) / longest}%`;
  const factor = one.elapsed / many.elapsed;
  // Told to use one thread, it started as many: then the times say nothing about threads.
  if (one.started > 1 && one.started >= many.started) {
    const hint = namesThreads(args)
      ? ''
      : ' If it takes the number as an argument, write {threads} there.';
    showVerdict(
      `The program starts its threads without asking how many: both times are the same work.${hint}`,
    );
    return;
  }
  const faster = document.createElement('b');
  faster.textContent = `${factor.toFixed(2)} times`;
  const rest = ` as fast with ${counted(many.count, 'thread')}, on ${counted(cores, 'core')}.`;
  $('verdict').replaceChildren(faster, rest);
}

/** What stands in the form. */
function wishes() {
  return { args: split($('arguments').value), threads: Number($('threads').value) };
}

function checkArguments() {
  const field = $('arguments');
  try {
    split(field.value);
    field.setCustomValidity('');
  } catch (error) {
    field.setCustomValidity(`Not understood: ${error.message}.`);
  }
}

function stop() {
  if (!busy || stopped) return;
  stopped = true;
  session?.kill();
  enable();
}

function sendLine(event) {
  event.preventDefault();
  if (!session?.takesInput) return;
  const line = $('input').value;
  terminal.write(`${line}\n`, 'typed');
  session.write(`${line}\n`);
  $('input').value = '';
}

function endInput() {
  if (!session?.takesInput) return;
  session.endInput();
  terminal.note('(end of input)');
  enable();
}

async function copyOutput() {
  const button = $('copy');
  try {
    await navigator.clipboard.writeText(terminal.text());
    button.textContent = 'Copied';
  } catch {
    button.textContent = 'Not allowed';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

function showEnding({ kind, code, text, elapsed }) {
  const [headline, ...details] = text.split('\n');
  const after = ` after ${duration(elapsed)}`;
  if (kind === 'killed') showStatus('idle', `Stopped${after}`);
  else if (kind !== 'exited') showStatus('bad', capital(headline));
  else if (code === 0) showStatus('good', `Finished${after}: exit code 0`);
  else showStatus('warn', `Exited with code ${code}${after}`);
  showReport('Where it happened', details.join('\n'));
}

function showStatus(state, text) {
  const changed = $('status-text').textContent !== text || $('status').dataset.state !== state;
  if (!changed) return;
  $('status').dataset.state = state;
  $('status-text').textContent = text;
}

function showReport(title = '', text = '') {
  $('report').hidden = !text;
  $('report').open = Boolean(text);
  $('report-title').textContent = title;
  $('report-text').textContent = text ?? '';
}

function showVerdict(text) {
  $('verdict').textContent = text;
}

function showNotice({ reason, remedy }) {
  const title = document.createElement('h2');
  title.textContent = 'No threads here';
  const text = document.createElement('p');
  text.textContent = `${reason} ${remedy}`;
  $('notice').replaceChildren(title, text);
  $('notice').hidden = false;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

start().catch((error) => showStatus('bad', error.message));

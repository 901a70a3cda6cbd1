// The parts of the page that need no browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History } from '../../page/history.js';
import { Screen } from '../../page/terminal.js';
import { duration } from '../../page/text.js';
import { join, split } from '../../page/words.js';

test('command lines are taken apart as a shell does it', () => {
  for (const [line, words] of [
    ['', []],
    ['  a  b\tc ', ['a', 'b', 'c']],
    [`'a b' "c d" e\\ f`, ['a b', 'c d', 'e f']],
    [`a'b'"c"d`, ['abcd']],
    [`'' ""`, ['', '']],
    [`"a\\"b" 'a\\b' "a\\nb" a\\\\b`, ['a"b', 'a\\b', 'a\\nb', 'a\\b']],
  ]) {
    assert.deepEqual(split(line), words, line);
  }
  for (const line of [`'a`, `"a`, 'a\\']) assert.throws(() => split(line), SyntaxError, line);
});

test('words are put together so that they can be taken apart', () => {
  const words = ['plain', 'a b', "it's", '"', '\\', '', '--x={threads}', 'ä', '\n', '$HOME', '~'];
  assert.deepEqual(split(join(words)), words);
  assert.equal(join(['--threads', '{threads}']), '--threads {threads}');
});

const screen = (...texts) => {
  const made = new Screen();
  for (const text of texts) made.write(text, 'stdout');
  return made;
};

test('what a terminal shows', () => {
  for (const [text, shown] of [
    ['a\nb', 'a\nb'],
    ['abc\rX', 'Xbc'],
    ['abc\r\x1b[KX', 'X'],
    ['abc\b\bX', 'aXc'],
    ['a\tb', 'a       b'],
    ['one\ntwo\x1b[1A\rXY', 'XYe\ntwo'],
    ['one\ntwo\n\x1b[2A\x1b[JX', 'X'],
    ['abc\x1b[2JX', 'X'],
    ['abc\x1b[2DX', 'aXc'],
    ['\x1b[5GX', '    X'],
    ['\x1b]0;title\x07after', 'after'],
    ['\x1b[?25lafter\x1b[?25h', 'after'],
    ['bell\x07', 'bell'],
    ['ä€😀', 'ä€😀'],
    ['\x1b(Ba\x1b)0b\x1b#8c\x1b=d\x1b%Ge', 'abcde'],
    ['\x1bPq#0;2;0\x1b\\a\x1b_x\x1b\\b\x1b^y\x1b\\c', 'abc'],
    ['a\x1b\nb', 'a\nb'],
    ['\x1b[999999999Aa\x1b[999999Db', 'b'],
  ]) {
    assert.equal(screen(text).text(), shown, JSON.stringify(text));
  }
});

test('escape sequences may come in pieces', () => {
  const text = '\x1b(B\x1b[1;31mred\x1b[0m\x1b]0;t\x1b\\x';
  for (let at = 0; at <= text.length; at += 1) {
    const made = screen(text.slice(0, at), text.slice(at));
    assert.equal(made.text(), 'redx', String(at));
    assert.equal(made.lines[0].cells[0].style.colour, 'var(--ansi-1)');
  }
  assert.equal(screen(...text).text(), 'redx');
});

test('colours and styles', () => {
  const style = (codes) => screen(`\x1b[${codes}mx`).lines[0].cells[0].style;
  assert.equal(style('31').colour, 'var(--ansi-1)');
  assert.equal(style('97').colour, 'var(--ansi-15)');
  assert.equal(style('44').back, 'var(--ansi-4)');
  assert.equal(style('100').back, 'var(--ansi-8)');
  assert.equal(style('38;5;9').colour, 'var(--ansi-9)');
  assert.equal(style('38;5;208').colour, 'rgb(255 135 0)');
  assert.equal(style('38;5;255').colour, 'rgb(238 238 238)');
  assert.equal(style('48;2;1;2;999').back, 'rgb(1 2 255)');
  assert.equal(style('1;4').classes, 'bold underline');
  assert.equal(style('1;22').classes, '');
  assert.equal(style('31;39').colour, null);
  assert.equal(style('31;0').colour, null);
  assert.equal(style('').classes, '');
  assert.equal(style('38;5').colour, null);
  assert.equal(style('38:2::1:2:3').colour, 'rgb(1 2 3)');
  assert.equal(style('38:2:1:2:3').colour, 'rgb(1 2 3)');
  assert.equal(style('48:5:208;1').back, 'rgb(255 135 0)');
  assert.equal(style('48:5:208;1').classes, 'bold');
  assert.equal(style('4:3').classes, 'underline');
  assert.equal(style('4:3;4:0').classes, '');
});

test('a terminal forgets what is long gone', () => {
  const made = screen('x\n'.repeat(12_000));
  assert.equal(made.lines.length, 5000);
  assert.equal(made.dropped, 7001);
  const wide = screen('x'.repeat(10_000));
  assert.ok(wide.lines.length === 3 && wide.lines[0].cells.length === 4096);
  const full = screen(...Array(400).fill(`${'x'.repeat(4096)}\n`), 'last');
  const cells = full.lines.reduce((sum, line) => sum + line.cells.length, 0);
  assert.ok(cells > 900_000 && cells <= 1_000_000, String(cells));
  assert.equal(full.dropped + full.lines.length, 401);
  assert.equal(full.lines.at(-1).cells.length, 4);
});

test('a history adds up, at any length', () => {
  for (const scale of [1, 1000, 1_000_000]) {
    const history = new History();
    history.set(0, 0, 'running', 0);
    history.set(1, 1, 'running', 1 * scale);
    history.set(0, 0, 'waiting', 2 * scale);
    history.set(1, 1, null, 3 * scale);
    history.set(1, 2, 'running', 4 * scale);
    history.advance(5 * scale);
    history.end(6 * scale);
    assert.equal(history.started, 3);
    assert.deepEqual(history.totals, { running: 6 * scale, waiting: 4 * scale });
    assert.equal(history.average, 1);
    const sum = (times) => times.reduce((all, time) => all + time, 0);
    const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-3 * scale, `${a} is not ${b}`);
    close(sum(history.lanes[0].running), 2 * scale);
    close(sum(history.lanes[0].waiting), 4 * scale);
    close(sum(history.lanes[1].running), 4 * scale);
    const half = Math.floor((1.5 * scale) / history.span);
    close(history.lanes[1].running[half], history.span);
    const states = [...history.threads.values()].map(({ state }) => state);
    assert.deepEqual(states, [null, null, null]);
  }
});

test('a history waits for news that come late, and shows what it knows', () => {
  const history = new History();
  history.set(0, 0, 'running', 10);
  history.advance(20);
  assert.equal(history.average, 0.5);
  assert.deepEqual(history.shares(history.lanes[0], 10, 20), { running: 1, waiting: 0 });
  history.set(0, 0, 'waiting', 15);
  assert.deepEqual(history.shares(history.lanes[0], 10, 20), { running: 0.5, waiting: 0.5 });
  assert.deepEqual(history.shares(history.lanes[0], 0, 10), { running: 0, waiting: 0 });
  history.set(0, 0, 'running', 14);
  history.end(30);
  assert.deepEqual(history.totals, { running: 20, waiting: 0 });
});

test('times for people', () => {
  for (const [ms, text] of [
    [0, '0.00 ms'],
    [0.5, '0.50 ms'],
    [12.34, '12.3 ms'],
    [999, '999 ms'],
    [1000, '1.00 s'],
    [75_000, '75.0 s'],
  ]) {
    assert.equal(duration(ms), text);
  }
});

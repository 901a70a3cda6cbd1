// The control block: a word is one thing.

import { check, equal, test } from '../harness.js';
import * as S from '../../src/seat-words.js';
import * as W from '../../src/words.js';

/** Those that are more than one word. */
const WIDTHS = { STREAM_FD: 3, STREAM_FLAGS: 3, EXPECTED: 2 };

test('control: no two names have a word in common', async () => {
  for (const names of [W, S]) {
    const users = new Map();
    for (const [name, first] of Object.entries(names)) {
      for (let word = first; word < first + (WIDTHS[name] ?? 1); word++) {
        equal(users.get(word), undefined, `${name} has the word ${word} as well`);
        users.set(word, name);
      }
    }
    check(Math.max(...users.keys()) < 64, 'there are not so many');
  }
});

// Ordinary programs, which know of no host, behave as they do natively.

import { load, Process } from '../../index.js';
import { check, equal, guest, host, test, text } from '../harness.js';

async function output(name, options = {}) {
  const program = await load(guest(name));
  const process = new Process(program, {
    stdout: 'collect',
    stderr: 'collect',
    preopens: { '/data': {} },
    ...options,
  });
  const status = await process.run();
  const out = text(process.stdoutBytes);
  check(status.kind === 'exited' && status.code === 0, `${JSON.stringify(status)}\n${out}\n${text(process.stderrBytes)}`);
  return out;
}

for (const name of ['std-sync', 'tls-destructors', 'crossbeam-mix']) {
  test(`guests: ${name}`, async () => {
    check((await output(name)).includes(`ok ${name}`));
  });
}

test('guests: rayon-mix is told how many threads run at once', async () => {
  const all = await output('rayon-mix');
  const cores = globalThis.navigator?.hardwareConcurrency ?? (await import('node:os')).availableParallelism();
  check(all.includes(`current_num_threads=${cores}\n`) && all.includes('ok rayon-mix'), all);
  const three = await output('rayon-mix', { env: { RAYON_NUM_THREADS: '3' } });
  check(three.includes('current_num_threads=3\n'), three);
});

test('guests: files of many threads', async () => {
  check((await output('files', { args: ['/data'] })).includes('ok files'));
});

test('guests: hello has its arguments and its environment', async () => {
  const program = await load(guest('hello'));
  const process = new Process(program, {
    args: ['--fast', 'two words', 'ünï'],
    arg0: 'me',
    env: { A: '1', RAYON_NUM_THREADS: '9', THREADWORK_PARALLELISM: '9' },
    stdout: 'collect',
  });
  await process.run();
  equal(
    text(process.stdoutBytes),
    'hello from main\nhello from a thread\narg 0: me\narg 1: --fast\narg 2: two words\narg 3: ünï\n' +
      'env A=1\nenv RAYON_NUM_THREADS=9\nenv THREADWORK_PARALLELISM=9\nok hello\n',
  );
});

test('guests: churn leaves the memory flat', async () => {
  check((await output('churn', { args: [host.isFull ? '100' : '5'] })).includes('ok churn'));
});

test('guests: growth is seen by all threads, and refused at the limit', async () => {
  check((await output('grow', { args: ['64'] })).includes('total 64 refused no'));
  const refused = await output('grow', { args: ['64'], limits: { memory: 48 << 20 } });
  check(/total [34]\d refused yes/.test(refused), refused);
});

test('guests: spawn until refused', async () => {
  const some = await output('spawn-until-fail', { maxThreads: 6, poolSize: 2 });
  check(some.includes('spawned 6 error WouldBlock') && some.includes('ok spawn-until-fail'), some);
  const all = await output('spawn-until-fail', { args: ['5'] });
  check(all.includes('spawned 5 error none'), all);
});

/** With their answers, as natively: they depend on the size alone. */
const EXAMPLES = [
  ['pi', '3000000', '2356338'],
  ['merge-sort', '300000', 'bcd032eddc1b4cf2'],
  ['pipeline', '600', 'e3a5fee6e039b97f'],
  ['mandelbrot', '300', '13e9c10df616420b'],
];
const DEFAULTS = {
  pi: '392682536',
  'merge-sort': '7ae9ff03bb271ec5',
  pipeline: 'f4321e39132060a4',
  mandelbrot: 'e4879b9807394463',
};

for (const [name, size, answer] of EXAMPLES) {
  test(`guests: ${name} gives the native answer`, async () => {
    for (const threads of [1, 2, 4]) {
      const args = ['--threads', String(threads)];
      if (!host.isFull) args.push('--size', size);
      if (name === 'mandelbrot') args.push('--output', '/data/set.png');
      const out = await output(name, { args });
      check(out.includes(`result: ${host.isFull ? DEFAULTS[name] : answer} `), out);
    }
  });
}

test('guests: programs without threads just run', async () => {
  check((await output('fib-single', { args: ['15'] })).includes('fib(15) = 610'));
});

'use client';

// The smallest page: runs a program and shows what it prints. `?observed` has the program rewritten
// first, so that deadlocks would be reported.

import { useEffect, useState } from 'react';
import { describe, load, Process } from 'threadwork';

export default function Page() {
  const [text, setText] = useState('');
  useEffect(() => {
    const stop = new AbortController();
    run((more) => setText((before) => before + more), stop.signal);
    return () => stop.abort();
  }, []);
  return <output style={{ whiteSpace: 'pre-wrap' }}>{text}</output>;
}

async function run(show, signal) {
  const decoder = new TextDecoder();
  const print = (bytes) => show(decoder.decode(bytes, { stream: true }));
  try {
    const program = await load('/hello.wasm', { deadlockDetection: location.search === '?observed', signal });
    const process = new Process(program, { stdout: print, stderr: print, signal });
    document.title = describe(await process.run());
  } catch (error) {
    if (!signal.aborted) document.title = `failed: ${error.message}`;
  }
}

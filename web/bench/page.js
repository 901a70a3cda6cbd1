// The cases in a browser.

import { runAll } from './host.js';

await runAll(location.origin, {
  withWorker: (start) => start(),
  async script(path, name) {
    if (!globalThis[name]) {
      const element = document.createElement('script');
      element.src = `/${path}`;
      const loaded = new Promise((done, failed) => ([element.onload, element.onerror] = [done, failed]));
      document.head.append(element);
      await loaded;
    }
    return globalThis[name];
  },
});

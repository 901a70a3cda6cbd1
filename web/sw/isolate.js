// Gets a page isolated from other sites: by the host's headers if it sends them, else by
// the service worker beside this file, for which the page has to be loaded once more.

/** Remembers over that reload that it has been tried. */
const TRIED = 'threadwork: reloaded for the service worker';

/**
 * Why threads cannot run here, and what to do about it.
 * @typedef {{ reason: string, remedy: string }} Obstacle
 */

/**
 * Kept when it is clear whether this page can share memory: with null if it can, else with
 * the obstacle. Not kept at all where the page is about to be loaded again.
 *
 * @param {string} [worker] the service worker's address; its folder is what it serves
 * @param {{pages?: string[], embedderPolicy?: 'require-corp' | 'credentialless'}} [options] the
 *   pages to isolate, if not all in that folder: every one of them asks with the same options.
 *   With `credentialless`, which Safari does not know, pages may show what other sites do not
 *   allow them to by a header; they get it without cookies.
 * @returns {Promise<Obstacle | null>}
 */
export async function isolate(worker = './sw.js', { pages = [], embedderPolicy = 'require-corp' } = {}) {
  if (globalThis.crossOriginIsolated) {
    remember(false);
    return null;
  }
  const obstacle = permanentObstacle();
  if (obstacle) return obstacle;
  try {
    // Once it is active it adds headers, from the next load on.
    const script = new URL(worker, document.baseURI);
    if (embedderPolicy !== 'require-corp') script.searchParams.append('embedder', embedderPolicy);
    for (const page of pages) script.searchParams.append('page', new URL(page, document.baseURI).pathname);
    await activation(await navigator.serviceWorker.register(trusted(script.href)));
  } catch (error) {
    return {
      reason: `The service worker that would allow threads does not start (${error.message}).`,
      remedy: HEADERS,
    };
  }
  // One reload has to do. If it did not, another would not, and so on for ever.
  if (wasTried() || !remember(true)) {
    remember(false);
    return {
      reason: 'The browser does not isolate this page, although its service worker asks for it.',
      remedy: `Open it in a tab of its own, not in a frame; or else: ${HEADERS}`,
    };
  }
  location.reload();
  return new Promise(() => {});
}

/**
 * Takes the service worker back. Kept with whether there was one; pages are as they were without
 * it when they are loaded next.
 *
 * @param {string} [worker] as for `isolate`
 * @returns {Promise<boolean>}
 */
export async function release(worker = './sw.js') {
  remember(false);
  const registration = await navigator.serviceWorker?.getRegistration(worker);
  return (await registration?.unregister()) ?? false;
}

/** The address of a script, where pages run only scripts that they trust. */
function trusted(url) {
  try {
    const rules = { createScriptURL: (text) => text };
    return globalThis.trustedTypes?.createPolicy('threadwork-isolate', rules).createScriptURL(url) ?? url;
  } catch {
    return url;
  }
}

/** Kept when the service worker is active. `ready` would not tell if it never will be. */
function activation(registration) {
  const { active, waiting, installing } = registration ?? {};
  const newest = installing ?? waiting ?? active;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (newest?.state === 'activated') resolve();
      else if (!newest || newest.state === 'redundant') reject(new Error('the browser refused it'));
    };
    newest?.addEventListener('statechange', look);
    look();
  });
}

function wasTried() {
  try {
    return sessionStorage.getItem(TRIED) !== null;
  } catch {
    return false;
  }
}

/** False if the browser lets this page keep nothing. */
function remember(tried) {
  try {
    if (tried) sessionStorage.setItem(TRIED, 'yes');
    else sessionStorage.removeItem(TRIED);
    return true;
  } catch {
    return false;
  }
}

const HEADERS =
  'Serve this page with the headers "Cross-Origin-Opener-Policy: same-origin" and ' +
  '"Cross-Origin-Embedder-Policy: require-corp".';

/** What no service worker can help with. */
function permanentObstacle() {
  if (typeof WebAssembly !== 'object') {
    return {
      reason: 'This browser does not run WebAssembly.',
      remedy: 'Use a newer one, or leave its lockdown mode.',
    };
  }
  if (!globalThis.isSecureContext) {
    return {
      reason: 'Browsers share memory between threads only on pages that came over https.',
      remedy: 'Open this page over https, or on the machine itself as http://localhost.',
    };
  }
  if (!('serviceWorker' in navigator)) {
    return {
      reason: 'This window allows no service workers, as private windows do in some browsers.',
      remedy: `Open the page in an ordinary window; or else: ${HEADERS}`,
    };
  }
  return null;
}

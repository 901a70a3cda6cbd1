// A service worker for hosts that cannot set headers: it adds those that isolate a page
// from other sites, without which browsers share no memory between threads.
//
// It changes nothing else and keeps nothing: what the host has is what the page gets.
// Put it where the page is (its scope is its folder), and let isolate.js register it.

/** What isolate.js asks for, in this script's own address. */
const asked = new URL(self.location.href).searchParams;
/** The paths of the pages to isolate; all in the folder, if there are none. */
const pages = asked.getAll('page');

const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': asked.get('embedder') ?? 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { request } = event;
  // Other sites say themselves who may embed them.
  if (new URL(request.url).origin !== self.location.origin) return;
  // The developer tools ask so, and browsers refuse to do it for anybody else.
  if (request.cache === 'only-if-cached' && request.mode !== 'same-origin') return;
  const isPage = request.mode === 'navigate';
  if (isPage && pages.length > 0 && !pages.includes(new URL(request.url).pathname)) return;
  event.respondWith(isolated(request));
});

async function isolated(request) {
  const response = await fetch(request);
  // A redirect that the browser follows itself: neither status nor headers can be seen.
  if (response.status === 0) return response;
  if (response.redirected && request.method === 'GET') return redirected(response);
  return withHeaders(response);
}

/**
 * What was found elsewhere. A response that is made here would be at the address that was asked
 * for, and what a script or a style sheet names beside itself would be looked for there: so the
 * browser is sent on, and asks again.
 */
function redirected(response) {
  response.body?.cancel();
  return Response.redirect(response.url);
}

function withHeaders(response) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  const { status, statusText } = response;
  const body = [101, 204, 205, 304].includes(status) ? null : response.body;
  return new Response(body, { status, statusText, headers });
}

/* offline.js - the worker that keeps a copy of the page, so that it comes up while its server is away. The server is asked first,
 * always; nothing but the page is kept; where something else answers at this address, worker and copy go. */
const KEPT = 'tfrun-page', PATIENCE_MS = 3000;

const isPage = reply => reply.ok && (reply.headers.get('Content-Security-Policy') || '').includes('trusted-types tfrun-offline');

async function keep() {
  const reply = await fetch('/', {cache: 'no-store'});
  if (!isPage(reply)) throw new TypeError('not the page');
  await (await caches.open(KEPT)).put('/', reply);
}

async function leave() {
  await caches.delete(KEPT);
  await registration.unregister();
}

/* A proxy whose server is away says 502 to 504; one that has stopped takes the connection and says nothing. */
async function load(request) {
  const answer = fetch(request).catch(() => null), late = new Promise(resolve => setTimeout(resolve, PATIENCE_MS, null));
  const reply = await Promise.race([answer, late]);
  if (!reply || reply.status >= 500) {
    const kept = await caches.match('/', {cacheName: KEPT});
    return kept || await answer || Response.error();
  }
  if (isPage(reply)) await (await caches.open(KEPT)).put('/', reply.clone());
  else if (reply.ok || reply.status === 404) await leave();
  return reply;
}

addEventListener('install', event => {
  skipWaiting();
  event.waitUntil(keep());
});
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('fetch', event => {
  const {mode, url, method} = event.request;
  if (mode === 'navigate' && method === 'GET' && new URL(url).pathname === '/') event.respondWith(load(event.request));
});

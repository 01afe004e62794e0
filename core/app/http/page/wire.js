/* wire.js - what goes to the server and comes back: JSON, events of a stream, errors as sentences. */
const wire = {key: '', info: null, gone: false, unable: ''};

class WireError extends Error {
  constructor(sentence, status, more) {
    super(sentence);
    Object.assign(this, {status}, more);
  }
}

function headers(body) {
  const list = body ? {'Content-Type': 'application/json'} : {};
  if (wire.key) list.Authorization = `Bearer ${wire.key.replace(/[^ -~]/g, '?')}`; /* a header takes no more: wrong it is */
  return list;
}

/* A reply with a good status, or a WireError that says what to do. An abort stays an AbortError. */
async function ask(path, body, signal) {
  let reply;
  try {
    reply = await fetch(path, {method: body ? 'POST' : 'GET', headers: headers(body), body: body && JSON.stringify(body), signal,
                               cache: 'no-store', redirect: 'error'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new WireError(`The server is away: nothing answers at ${location.host}.`, 0);
  }
  if (!reply.ok) throw await refusal(reply);
  return reply;
}

async function refusal(reply) {
  let said = '';
  try {
    said = (await reply.json()).error.message;
  } catch { /* a proxy's page: the status says enough */ }
  const again = Number(reply.headers.get('Retry-After')) || 0;
  const opening = {401: 'This server asks for an API key: ', 429: 'The server has too much to do: ',
      503: 'The server is not ready: '};
  const ending = again ? ` Try again in ${plural(again, 'second')}.` : '';
  return new WireError((opening[reply.status] || '') + (said || `status ${reply.status} ${reply.statusText}`) + ending,
      reply.status, {again});
}

async function askJson(path, body, signal) {
  const reply = await ask(path, body, signal);
  try {
    return await reply.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new WireError('The answer did not come whole, or is none of this server\u2019s.', -1);
  }
}

/* Lines of an event stream, however the bytes were cut: calls `take` with the object of each `data:` line. False where the stream
 * ended without [DONE]: the server was cut off. */
async function readEvents(reply, take) {
  const reader = reply.body.getReader(), decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    const lines = (rest + decoder.decode(value, {stream: !done})).split(/\r?\n/);
    rest = done ? '' : lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data:')) continue; /* a comment that keeps the connection alive, an empty line */
      const data = line.slice(5).trim();
      if (data === '[DONE]') return true;
      take(JSON.parse(data));
    }
    if (done) return false;
  }
}

const BROKEN = 'The connection broke off. What came is kept; Continue goes on from there.';

/* As ask, of events; a stream that breaks off is an error like any other. */
async function stream(path, body, signal, take) {
  const reply = await ask(path, body, signal);
  let whole;
  try {
    whole = await readEvents(reply, event => {
      if (event.error) throw new WireError(`The server stopped: ${event.error.message || 'it did not say why.'}`, 200);
      take(event);
    });
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof WireError) throw error;
    throw new WireError(BROKEN, -1);
  }
  if (!whole) throw new WireError(BROKEN, -1);
}

function whyNot({responseText}) {
  try {
    return JSON.parse(responseText).error.message;
  } catch {
    return '';
  }
}

/* {picture}, a document of its own, which no script of its can run in; or {why} there is none. */
function askPicture(path) {
  return new Promise(resolve => {
    const request = new XMLHttpRequest();
    request.open('GET', path);
    request.overrideMimeType('image/svg+xml');
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.onload = () => resolve(request.status === 200 ? {picture: request.responseXML} : {why: whyNot(request)});
    request.onerror = () => resolve({});
    request.send();
  });
}

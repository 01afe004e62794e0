/* facts.js - how a run goes: room in the context, time to the first token, tokens a second, the queue, what was cached. */
const room = {tokens: null};

function fact(id, value) {
  setText(byId(id), value);
  show(byId(id).parentElement, value !== '');
}

/* Tokens of the last second while it runs, all of them afterwards. */
function tokenRate({tokens, first, end}) {
  if (first == null || tokens.length < 2) return null;
  const now = end ?? performance.now(), from = end ? first : Math.max(first, now - 1000);
  const recent = end ? tokens.length - 1 : tokens.filter(at => at > from).length;
  return now - from > 20 ? 1000 * recent / ((end ? tokens.at(-1) : now) - from) : null;
}

const FINISH = {stop: 'ended by itself', length: 'length reached', stopped: 'stopped', failed: 'failed'};

function showFacts() {
  const {times} = run;
  if (!times) return;
  const rate = tokenRate(times), cached = times.usage?.prompt_tokens_details?.cached_tokens;
  fact('fact-ttft', times.first == null ? '' : seconds((times.first - times.sent) / 1000));
  fact('fact-rate', rate ? brief(rate) : '');
  fact('fact-made', times.tokens.length ? count(times.usage?.completion_tokens ?? times.tokens.length) : '');
  fact('fact-cached', cached == null ? '' : `${count(cached)} of ${count(times.usage.prompt_tokens)}`);
  fact('fact-queue', times.end == null && times.first == null ? times.queue || '' : '');
  fact('fact-finish', times.end == null ? '' : FINISH[times.finish] || times.finish || '');
  if (times.end == null) showRoom(Math.ceil(times.tokens.length / run.last.n), run.last.origin?.length);
}

/* Until the first token: who else waits, and for how long. One question at a time: a server that is stopped answers none. */
function watchQueue(times) {
  let isAsked = false;
  return setInterval(async () => {
    if (times.first != null || isAsked) return;
    isAsked = true;
    try {
      const {serving} = await askJson('/tfrun/v1/info', null, AbortSignal.timeout(10000));
      if (!serving) return;
      const wait = `${plural(serving.waiting, 'request')} waiting, about ${seconds(serving.estimated_wait_s || 0)}`;
      times.queue = serving.waiting ? wait : 'reading the prompt';
      showFacts();
    } catch { /* the run itself will say that the server is gone */
    } finally {
      isAsked = false;
    }
  }, 500);
}

/* The meter: what is there, what Length asks for, and a sentence before the server has to refuse. A run tells how many tokens it
 * began with: those that are known are of the text before it, which may have been longer. */
function showRoom(more = 0, begun = room.tokens) {
  const most = wire.info?.n_positions, meter = byId('meter');
  show(byId('room'), most && begun != null);
  if (!most || begun == null) return;
  const used = begun + more, asked = isRunning() || wire.unable ? 0 : settings.values.max_tokens, over = used + asked - most;
  meter.setAttribute('aria-valuemax', most);
  meter.setAttribute('aria-valuenow', Math.min(used, most));
  meter.setAttribute('aria-valuetext', `${count(used)} of ${count(most)} tokens`);
  meter.style.setProperty('--used', `${100 * Math.min(1, used / most)}%`);
  meter.style.setProperty('--asked', `${100 * Math.min(1, (used + asked) / most)}%`);
  meter.classList.toggle('over', over > 0);
  setText(byId('room-text'), `${count(used)} / ${count(most)}`);
  setText(byId('room-note'), over <= 0 ? '' : used >= most
    ? `The text is ${plural(used - most, 'token')} over the context: shorten it. Nothing is cut without your say.`
    : `${count(used)} + ${count(asked)} tokens are ${count(over)} more than the context: shorten the text, ` +
      `or set Length to ${count(most - used)}.`);
}

/* What the text is in tokens, said by the server once typing rests. */
const countTokens = later(250, async () => {
  const text = doc.text;
  try {
    const reply = await askJson('/tokenize', {model: wire.info?.model, prompt: text, return_token_strs: true});
    if (text !== doc.text || isRunning()) return;
    room.tokens = text === '' ? 0 : reply.count;
    showTokenizer(text === '' ? {tokens: [], token_strs: []} : reply);
  } catch {
    room.tokens = null; /* no tokenizer, or no server: no meter, and no pieces of a text that was */
    if (text !== doc.text || isRunning()) return;
    showTokenizer({tokens: [], token_strs: []});
  }
  showRoom();
});

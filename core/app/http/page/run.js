/* run.js - generations: continue, stop, once more, another way, several side by side. */
const run = {abort: null, last: null, times: null, said: 0};

const isRunning = () => run.abort !== null;

function notice(sentence) {
  const node = byId('notice');
  setText(node, sentence || '');
  show(node, sentence);
}

/* `start` is the state before it, `lead` the tokens that the user chose to go on from, `ids` the prompt where it must be exact. */
function newRun(start, lead = [], ids = null) {
  const part = lead.filter(token => !isWhole(token.piece)).flatMap(token => [...bytesOf(token.piece)]);
  return {start, lead, ids, part, made: Date.now(), origin: ids, nth: 0, decoder: new TextDecoder(), choices: []};
}

const wholeText = job => job.start.text + job.lead.map(token => token.text).join('');

function begin(job) {
  if (isRunning()) return;
  if (!canAsk()) return announce(wire.unable || 'The server is away.');
  let fields;
  try {
    fields = requestFields();
  } catch (error) {
    return notice(error.message);
  }
  remember('generation');
  setState({text: wholeText(job), tokens: job.start.tokens.concat(job.lead)});
  run.said = doc.text.length;
  run.last = job;
  job.n = fields.n;
  showText(doc.text.length);
  byId('sheet').scrollTop = byId('sheet').scrollHeight;
  clearVariants();
  closeCard();
  forgetScore();
  return perform(job, {model: wire.info?.model, prompt: job.ids || doc.text, ...fields, seed: nextSeed(), stream: true,
                       stream_options: {include_usage: true}, return_token_ids: true});
}

async function perform(job, body) {
  const times = {sent: performance.now(), tokens: []};
  Object.assign(run, {abort: new AbortController(), times});
  setBusy(true);
  notice('');
  announce('Generating.');
  const queue = watchQueue(times);
  try {
    await stream('/v1/completions', body, run.abort.signal, event => takeEvent(job, times, event));
  } catch (error) {
    if (error.name === 'AbortError') times.finish = 'stopped';
    else fail(error, times);
  }
  clearInterval(queue);
  times.end = performance.now();
  run.abort = null;
  flushRun();
  setBusy(false);
  runEnded(times);
}

function fail(error, times) {
  times.finish = 'failed';
  if (error.status === 0) return serverGone(); /* which says so itself */
  notice(error instanceof WireError ? error.message : `The page failed: ${error.message}`);
  if (error.status === 401) {
    lock.hasNotice = true;
    shut();
    byId('key-box').open = true;
  }
  if (error.status < 0) readInfo();
}

function takeEvent(job, times, event) {
  if (event.usage) times.usage = event.usage;
  if (event.timings) times.timings = event.timings;
  const choice = event.choices?.[0];
  if (!choice) return;
  if (choice.prompt_token_ids && !job.origin) job.origin = choice.prompt_token_ids;
  const now = performance.now(), tokens = choice.logprobs ? tokensOf(choice.logprobs, choice.token_ids) : [];
  times.first ??= now;
  for (let i = 0; i < Math.max(1, tokens.length); i++) times.tokens.push(now);
  if (choice.finish_reason) times.finish = choice.finish_reason;
  if (job.n > 1) takeVariant(job, choice, tokens);
  else takePiece(job, lines(choice.text || ''), tokens);
  flushSoon();
}

/* The text is the server's. Only behind a branch on a part of a character it can't know the whole: then the bytes say it. */
function takePiece(job, given, tokens) {
  const ahead = doc.text.length, isPart = job.part.length > 0 && tokens.length > 0;
  const text = isPart ? joinPart(job, tokens) : given;
  if (isPart) placeAtEnd(tokens, ahead, text);
  else place(tokens, text, ahead, job.decoder);
  for (const token of tokens) Object.assign(token, {made: job.made, origin: job.origin || undefined, nth: job.nth++});
  appendText(text, tokens);
}

/* The character whose first bytes wait in job.part, once it is whole. */
function joinPart(job, tokens) {
  job.part.push(...tokens.flatMap(token => [...bytesOf(token.piece)]));
  const text = new TextDecoder().decode(Uint8Array.from(job.part), {stream: true});
  if (text !== '') job.part = [];
  return text;
}

function placeAtEnd(tokens, ahead, text) {
  for (const token of tokens) Object.assign(token, {start: ahead, end: ahead});
  tokens.at(-1).end = ahead + text.length;
}

const flushSoon = eachFrame(flushRun);

function flushRun() {
  if (run.last?.n > 1) drawVariants(run.last);
  else followEnd(appendToLayer);
  showFacts();
  if (run.last?.n === 1 && isRunning()) {
    announce(unsaid);
  }
}

/* What came since the screen reader was last told. */
function unsaid() {
  const text = doc.text.slice(run.said);
  run.said = doc.text.length;
  return text;
}

function runEnded(times) {
  const made = times.usage?.completion_tokens ?? times.tokens.length;
  const rest = run.last.n === 1 ? unsaid() : ''; /* what no turn came for */
  announce(`${rest}\n${FINISH[times.finish] || 'done'}: ${plural(made, 'token')}.`.trim());
  showFacts();
  textChanged();
  machineAfterRun();
}

function goOn() {
  return begin(newRun(state()));
}

function stopRun() {
  run.abort?.abort();
}

/* The same beginning once more, with the settings of now. */
function again() {
  const {start, lead, ids} = run.last || {};
  if (start) return begin(newRun(start, lead, ids));
}

/* Another token at this place, and on from there. Where the ids before it are known they are the prompt: the tokens stay those
 * that the model saw, however their text would be cut alone. */
function branch(index, other) {
  if (isRunning() || !canAsk()) return;
  const token = doc.tokens[index], before = idsBefore(index);
  const ids = before && other.id != null ? before.concat(other.id) : null;
  const start = {text: doc.text.slice(0, token.start), tokens: doc.tokens.slice(0, index)};
  const text = isWhole(other.piece) ? other.piece : '';
  const lead = {text, start: token.start, end: token.start + text.length, piece: other.piece, id: other.id, lp: other.lp,
                rank: token.top.indexOf(other) + 1 || token.rank, top: token.top, made: Date.now(), picked: true,
                origin: token.origin, nth: token.nth};
  paper.area.focus();
  return begin(newRun(start, [lead], ids));
}

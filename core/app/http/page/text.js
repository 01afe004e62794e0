/* text.js - the text so far, what is known of its tokens, and the way back. No element of the page is touched here.
 *
 * A token {start, end, piece, id, lp, rank, top, made, origin, nth}: made is set where the model wrote it; origin (the ids that a
 * run began with) and nth (its place in that run) let a branch begin with exactly the ids that stood before it. Tokens are never
 * changed once they are in doc.tokens, so that a state of the past can share them. */
const doc = {text: '', tokens: []};

/* A text of the user's hand: what stands before the edit keeps its tokens. Behind it the context is another one, so its numbers
 * no longer hold; that the model wrote it still does. */
function editText(text) {
  const old = doc.text, most = Math.min(old.length, text.length);
  let head = 0, tail = 0;
  while (head < most && old[head] === text[head]) head++;
  while (tail < most - head && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail++;
  const shift = text.length - old.length, behind = old.length - tail;
  const kept = doc.tokens.filter(token => token.end <= head && (token.start < head || token.end === token.start));
  const moved = doc.tokens.filter(token => token.start >= behind && token.made && token.end > token.start && token.end > head)
    .map(({start, end, piece, made}) => ({start: start + shift, end: end + shift, piece, made}));
  doc.text = text;
  doc.tokens = kept.concat(moved);
}

function appendText(text, tokens) {
  doc.text += text;
  doc.tokens.push(...tokens);
}

/* The token at a place of the cursor: the one that it stands in, at the end the last one. */
function tokenAt(at) {
  const within = doc.tokens.findIndex(token => token.start <= at && at < token.end);
  if (within >= 0) return within;
  return doc.tokens.findLastIndex(token => token.end === at && token.end > token.start);
}

/* Ids of everything before a token, where they are known for certain: its run's first ids and all tokens of the run up to it. */
function idsBefore(index) {
  const token = doc.tokens[index];
  if (!token.origin) return null;
  const run = doc.tokens.slice(0, index).filter(other => other.origin === token.origin);
  return run.length === token.nth && run.every(other => other.id != null) ? token.origin.concat(run.map(other => other.id)) : null;
}

const past = [], future = [], MOST_STEPS = 200;
let lastEdit = {kind: '', at: 0};

const state = () => ({text: doc.text, tokens: doc.tokens});

function setState({text, tokens}) {
  doc.text = text;
  doc.tokens = tokens.slice(); /* a run appends to it */
}

/* Called before a change. A burst of typing is one step, a generation is one step. */
function remember(kind) {
  const now = Date.now(), goesOn = kind === 'typing' && lastEdit.kind === kind && now - lastEdit.at < 1500;
  lastEdit = {kind, at: now};
  if (goesOn) return;
  past.push({text: doc.text, tokens: doc.tokens.slice()});
  if (past.length > MOST_STEPS) past.shift();
  future.length = 0;
}

function step(from, to) {
  if (from.length === 0) return false;
  to.push(state());
  setState(from.pop());
  lastEdit = {kind: '', at: 0};
  return true;
}

const undo = () => step(past, future);
const redo = () => step(future, past);

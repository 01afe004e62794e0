/* session.js - what outlives the page: the session in the browser's storage, a link in the fragment, a request as curl. No key in
 * any. A tab has a session of its own, which a reload finds again; a new tab begins with the last one of all. */
const STORED = 'tfrun.page', STORED_STEPS = 50;
const PANELS = ['tokenizer', 'machine', 'more'];

const settingsNow = () => {
  const {values, stop, bias, ignoreEos, seed, locked} = settings;
  return {values, stop, bias, ignoreEos, seed, locked};
};

/* States share tokens, tokens the ids that their run began with: each is told once, and by its number elsewhere. */
function pack(states) {
  const numbers = new Map(), tokens = [], origins = [];
  const numberOf = (thing, list, told) => {
    if (!numbers.has(thing)) numbers.set(thing, list.push(told(thing)) - 1);
    return numbers.get(thing);
  };
  const tell = token => ({...token, origin: token.origin && numberOf(token.origin, origins, ids => ids)});
  return {states: states.map(({text, tokens: own}) => [text, own.map(token => numberOf(token, tokens, tell))]), tokens, origins};
}

function unpack({states, tokens, origins}) {
  const isIds = ids => Array.isArray(ids) && ids.every(Number.isInteger);
  const made = tokens.map(token => ({...token, origin: isIds(origins[token?.origin]) ? origins[token.origin] : undefined}));
  return states.map(([text, own]) => ({text: lines(text), tokens: checkedTokens(own.map(number => made[number]), text)}));
}

/* The run that Regenerate repeats, and what it wrote side by side: as numbers of states, which come to the end of `states`. */
function lastRun(states) {
  const {start, lead, ids, made, origin, n, choices} = run.last || {};
  if (!start) return null;
  const told = choices.flat(), at = states.push(start, {text: wholeText(run.last), tokens: lead}, ...told) - told.length - 2;
  return {at, ids, made, origin, n, finishes: told.map(({finish}) => finish)};
}

function sessionOf(steps, hasTokens) {
  const back = steps ? past.slice(-steps) : [], ahead = steps ? future.slice(-steps) : [], states = [...back, state(), ...ahead];
  const last = hasTokens ? lastRun(states) : null;
  if (!hasTokens) states.forEach(({text}, i) => states[i] = {text, tokens: []});
  return {...pack(states), at: back.length, ahead: ahead.length, last, settings: settingsNow(), colour: paper.colour,
          cursor: paper.area.selectionStart, scored: !byId('score-result').hidden, open: PANELS.filter(id => byId(id).open)};
}

function store() {
  for (const [steps, hasTokens] of [[STORED_STEPS, true], [0, true], [0, false]]) { /* less, where there is no room for it */
    try {
      const told = JSON.stringify(sessionOf(steps, hasTokens));
      sessionStorage.setItem(STORED, told);
      localStorage.setItem(STORED, told);
      return;
    } catch { /* full, or not allowed */ }
  }
}

const storeSoon = later(400, store);

function storedSession() {
  try {
    const session = JSON.parse(sessionStorage.getItem(STORED) || localStorage.getItem(STORED)), states = unpack(session);
    return states[session.at] ? {...session, ...states[session.at], states} : null;
  } catch {
    return null;
  }
}

/* Only tokens that are what they should be: whole, in order, within the text. */
function checkedTokens(tokens, text) {
  let at = 0;
  return (Array.isArray(tokens) ? tokens : []).filter(token => {
    const good = Number.isInteger(token?.start) && Number.isInteger(token.end) && token.start >= at && token.end >= token.start &&
      token.end <= text.length && typeof token.piece === 'string' && (token.lp == null || Array.isArray(token.top));
    at = good ? token.end : at;
    return good;
  });
}

/* What a link has behind its #; #text is the address of the text itself, where the first link of the page leads. */
const linked = () => location.hash === '#text' ? '' : location.hash.slice(1);

function toFragment(value) {
  const bytes = Array.from(encoder.encode(JSON.stringify(value)), byte => String.fromCharCode(byte));
  return btoa(bytes.join('')).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function fromFragment(text) {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), sign => sign.charCodeAt(0));
  return JSON.parse(new TextDecoder('utf-8', {fatal: true}).decode(bytes));
}

function link() {
  return `${location.origin}${location.pathname}#${toFragment({text: doc.text, settings: settingsNow()})}`;
}

/* A link wins over the session; one that is broken is said and passed over. */
function restore() {
  const session = storedSession();
  let from = session;
  if (linked() !== '') {
    try {
      const given = fromFragment(linked());
      if (typeof given?.text !== 'string') throw new TypeError('no text');
      from = given;
      history.replaceState(null, '', location.pathname);
    } catch {
      notice('The link is damaged: its text could not be read. This is your last session.');
    }
  }
  if (typeof from?.text !== 'string') return;
  if (session) restoreSteps(session);
  if (from !== session) {
    if (session || doc.text !== '') remember('link'); /* Undo brings it back */
    setState({text: lines(from.text), tokens: []});
    run.last = null;
    clearVariants();
    forgetScore();
    closeCard();
  }
  setSettings(from.settings || {});
  showSettings();
  showText(Number.isInteger(from.cursor) ? from.cursor : doc.text.length);
  if (['plain', 'rank', 'surprisal'].includes(from.colour)) setColour(from.colour);
  if (from.scored) showScore();
  for (const id of PANELS) byId(id).open ||= Array.isArray(from.open) && from.open.includes(id);
}

/* The state, the way back, and the last run. */
function restoreSteps({states, at, ahead, last}) {
  setState(states[at]);
  past.splice(0, Infinity, ...states.slice(0, at));
  future.splice(0, Infinity, ...states.slice(at + 1, at + 1 + ahead));
  if (!states[last?.at + 1]) return;
  const [start, {tokens: lead}, ...told] = states.slice(last.at);
  const choices = told.map((one, i) => ({...one, finish: last.finishes?.[i]}));
  run.last = {...newRun(start, lead, last.ids), made: last.made, origin: last.origin, n: last.n, choices};
}

/* The request of Continue, for a shell; the key by its usual variable. Throws what requestFields does. */
function curl() {
  const body = {model: wire.info?.model, prompt: doc.text, ...requestFields(), seed: settings.seed ?? undefined, stream: true};
  const quoted = JSON.stringify(body).replace(/'/g, `'\\''`);
  const key = wire.key ? ` \\\n  -H "Authorization: Bearer $TFRUN_API_KEY"` : '';
  return `curl -sN ${location.origin}/v1/completions \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'`;
}

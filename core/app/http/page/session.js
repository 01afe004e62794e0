/* session.js - what outlives the page: the session in local storage, a link in the fragment, a request as curl. No key in any. */
const STORED = 'tfrun.page';

const settingsNow = () => {
  const {values, stop, bias, ignoreEos, seed, locked} = settings;
  return {values, stop, bias, ignoreEos, seed, locked};
};

function store() {
  const session = {text: doc.text, tokens: doc.tokens.map(token => ({...token, origin: undefined})), settings: settingsNow(),
                   colour: paper.colour, cursor: paper.area.selectionStart};
  for (const tokens of [session.tokens, []]) { /* the text alone where both are too long to keep */
    try {
      localStorage.setItem(STORED, JSON.stringify({...session, tokens}));
      return;
    } catch { /* full, or not allowed: try less */ }
  }
}

const storeSoon = later(400, store);

function storedSession() {
  try {
    return JSON.parse(localStorage.getItem(STORED));
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
  if (location.hash.length > 1) {
    try {
      from = fromFragment(location.hash.slice(1));
      history.replaceState(null, '', location.pathname);
    } catch {
      notice('The link is damaged: its text could not be read. This is your last session.');
    }
  }
  if (typeof from?.text !== 'string') return;
  from.text = lines(from.text);
  if (from !== session && typeof session?.text === 'string') {
    setState({text: lines(session.text), tokens: checkedTokens(session.tokens, session.text)});
    remember('link'); /* Undo brings the session back */
  }
  setState({text: from.text, tokens: checkedTokens(from.tokens, from.text)});
  setSettings(from.settings || {});
  showSettings();
  showText(Number.isInteger(from.cursor) ? from.cursor : doc.text.length);
  if (['plain', 'rank', 'surprisal'].includes(from.colour)) setColour(from.colour);
}

/* The request of Continue, for a shell; the key by its usual variable. */
function curl() {
  const body = {model: wire.info?.model, prompt: doc.text, ...requestFields(), seed: settings.seed ?? undefined, stream: true};
  const quoted = JSON.stringify(body).replace(/'/g, `'\\''`);
  const key = wire.key ? ` \\\n  -H "Authorization: Bearer $TFRUN_API_KEY"` : '';
  return `curl -sN ${location.origin}/v1/completions \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'`;
}

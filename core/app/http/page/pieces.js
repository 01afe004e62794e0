/* pieces.js - tokens: their bytes, how they look, how probable they were. */
const encoder = new TextEncoder();

/* What the wire calls a token, as bytes: its text, or bytes:\xE2\x80 where that is no whole UTF-8. */
function bytesOf(piece) {
  if (!/^bytes:.*\\x[0-9a-f]{2}/is.test(piece)) return encoder.encode(piece);
  const parts = piece.slice(6).match(/\\x[0-9a-f]{2}|[^]/gi);
  return Uint8Array.from(parts.flatMap(part => part.length === 4 ? [parseInt(part.slice(2), 16)] : [...encoder.encode(part)]));
}

const hexOf = bytes => Array.from(bytes, byte => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ');
const isWhole = piece => !/^bytes:.*\\x[0-9a-f]{2}/is.test(piece);

/* Blanks and control characters as signs, the bytes of an unfinished character in hexadecimal. */
function visible(piece) {
  if (!isWhole(piece)) return piece.slice(6);
  if (piece === '') return '(empty)';
  return piece.replace(/[ \n\r\t]|[\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, sign =>
    ({' ': '\u00b7', '\n': '\u23ce', '\r': '\u240d', '\t': '\u21e5'})[sign]
    || `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/* The tokens of a `logprobs` object: {piece, id, lp, rank, top: [{piece, id, lp}], the best first}. */
function tokensOf(logprobs, ids) {
  return logprobs.tokens.map((piece, i) => {
    const top = Object.entries(logprobs.top_logprobs?.[i] || {}).map(([other, lp]) =>
      ({piece: other, lp, id: logprobs.top_token_ids?.[i]?.[other]}));
    top.sort((a, b) => b.lp - a.lp);
    const rank = logprobs.token_ranks?.[i];
    if (rank > top.length) top.pop(); /* the token itself, told beside the best ones though it is none of them */
    return {piece, id: ids?.[i], lp: logprobs.token_logprobs[i], top, rank};
  });
}

const bitsOf = token => -token.lp / Math.LN2;
const isScored = token => token != null && token.lp != null;

/* Bits between which the entropy of a distribution lies, of which the best are known: what is left is spread as little as it can
 * be (in pieces no larger than the last known one), or evenly over all other tokens. */
function entropyBounds(top, vocab) {
  const known = top.map(({lp}) => Math.exp(lp));
  const bits = top.reduce((sum, {lp}, i) => sum - known[i] * lp / Math.LN2, 0);
  const rest = 1 - known.reduce((sum, p) => sum + p, 0);
  if (top.length === 0 || rest < 1e-6) return [bits, bits];
  return [bits - rest * Math.log2(Math.min(known.at(-1), rest)), bits + rest * Math.log2(Math.max(1, vocab - top.length) / rest)];
}

/* Five steps of both scales. */
const RANKS = [1, 10, 100, 1000];
const rankLevel = token => RANKS.filter(limit => token.rank > limit).length;

/* Surprisal by its logarithm, one step a standard deviation around the mean of the text, what is further out like the last one. */
function surprisalScale(tokens) {
  const logs = tokens.filter(isScored).map(token => Math.log(bitsOf(token) + 0.01));
  const mean = logs.reduce((sum, x) => sum + x, 0) / Math.max(1, logs.length);
  const spread = Math.sqrt(logs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, logs.length)) || 1;
  const edges = [-1.5, -0.5, 0.5, 1.5].map(z => Math.max(0, Math.exp(mean + z * spread) - 0.01));
  return {edges, level: token => edges.filter(edge => bitsOf(token) >= edge).length};
}

/* A text area has no carriage returns: each is shown as an end of line. */
const lines = text => text.replace(/\r/g, '\n');

/* Which part of a text belongs to which token: sets start and end, in units of the text, from `start` on. Bytes of an unfinished
 * character have no width; the token that completes it has its. What the text ends without (a stop, end-of-text) has none. */
function place(tokens, text, start, decoder = new TextDecoder()) {
  let at = 0;
  for (const token of tokens) {
    const part = lines(decoder.decode(bytesOf(token.piece), {stream: true}));
    const fits = part !== '' && text.startsWith(part, at);
    token.start = start + at;
    at += fits ? part.length : 0;
    token.end = start + at;
  }
  if (at < text.length && tokens.length) tokens.at(-1).end = start + text.length;
  return tokens;
}

/* score.js - how probable the text itself is: one request that echoes it, sums, and a line along it. */
async function scoreText() {
  if (isRunning() || !canAsk() || doc.text === '') return;
  const abort = new AbortController(), times = {sent: performance.now(), tokens: []};
  Object.assign(run, {abort, times});
  setBusy(true);
  notice('');
  try {
    const reply = await askJson('/v1/completions', {
      model: wire.info?.model, prompt: doc.text, max_tokens: 0, echo: true, temperature: 0, logprobs: settings.values.logprobs,
      return_token_ids: true,
    }, abort.signal);
    Object.assign(times, {usage: reply.usage, timings: reply.timings, finish: 'scored'});
    takeScore(reply.choices[0]);
  } catch (error) {
    if (error.name === 'AbortError') times.finish = 'stopped';
    else fail(error, times);
  }
  times.end = performance.now();
  run.abort = null;
  setBusy(false);
  showFacts();
  textChanged();
}

function takeScore({logprobs, prompt_token_ids: prompt, token_ids: ids}) {
  const made = doc.tokens.filter(token => token.made), all = prompt || ids || [], origin = all.length ? [] : undefined;
  const tokens = place(tokensOf(logprobs, all), doc.text, 0).map((token, nth) => {
    const within = made.find(old => old.start <= token.start && token.start < old.end);
    return {...token, made: within?.made, origin, nth};
  });
  setState({text: doc.text, tokens});
  showText();
  if (paper.colour === 'plain') setColour('surprisal');
  showScore();
  showPanel(tokenAt(paper.area.selectionStart));
}

function forgetScore() {
  show(byId('score-result'), false);
}

function sums(tokens) {
  const scored = tokens.filter(isScored), bits = scored.reduce((sum, token) => sum + bitsOf(token), 0);
  const bytes = scored.reduce((sum, token) => sum + bytesOf(token.piece).length, 0);
  const firsts = scored.filter(token => token.rank === 1).length;
  const n = scored.length;
  return [
    ['perplexity', brief(2 ** (bits / n))], ['bits per byte', brief(bits / bytes)], ['bits per token', brief(bits / n)],
    ['log-prob', (-bits * Math.LN2).toFixed(3)], ['first choice', percent(firsts / n)],
    ['tokens, bytes', `${count(n)}, ${count(bytes)}`],
  ];
}

function showScore() {
  show(byId('score-result'), true);
  const facts = doc.tokens.some(isScored) ? sums(doc.tokens) : [];
  byId('score-sums').replaceChildren(...facts.map(pairOf));
  byId('score-chart').replaceChildren(facts.length ? chart(doc.tokens)
    : el('p', {class: 'hint'}, 'One token alone has nothing to be scored by.'));
}

/* Bars: surprisal of each token. Band: the entropy of the model's prediction there, between what the alternatives allow. */
function chart(tokens) {
  const HEIGHT = 96, n = tokens.length, wide = Math.max(n, 40);
  const bands = tokens.map(token => isScored(token) ? entropyBounds(token.top, wire.info?.vocab_size || 50257) : [0, 0]);
  const most = Math.max(8, ...tokens.filter(isScored).map(bitsOf), ...bands.map(band => band[1]));
  const y = bits => (HEIGHT * (1 - bits / most)).toFixed(1);
  const bars = tokens.map((token, i) => isScored(token) ? `M${i + 0.1} ${HEIGHT}V${y(bitsOf(token))}h.8V${HEIGHT}z` : '').join('');
  const upper = bands.map((band, i) => `L${i} ${y(band[1])}H${i + 1}`).join('');
  const lower = bands.map((band, i) => `L${i + 1} ${y(band[0])}H${i}`).reverse().join('');
  const spot = svg('rect', {class: 'spot', y: 0, width: 1, height: HEIGHT, x: -2});
  const label = `Surprisal of ${plural(n, 'token')}, at most ${brief(most)} bits, and the entropy of each prediction`;
  const picture = svg('svg', {viewBox: `0 0 ${wide} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label},
    spot, svg('path', {class: 'band', d: `M0 ${y(bands[0][1])}${upper}${lower}z`}), svg('path', {class: 'bars', d: bars}));
  picture.addEventListener('pointermove', event => {
    const box = picture.getBoundingClientRect(), i = Math.floor((event.clientX - box.left) / box.width * wide);
    if (!tokens[i] || tokens !== doc.tokens || i === paper.marked) return;
    spot.setAttribute('x', i);
    showPanel(i);
    paper.spans[i]?.scrollIntoView({block: 'nearest'});
  });
  return el('div', {class: 'chart'}, picture, el('span', {class: 'axis'}, `${brief(most)} bits`));
}

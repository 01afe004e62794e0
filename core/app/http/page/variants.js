/* variants.js - several continuations side by side, one of which is taken. */
function clearVariants() {
  byId('variants').replaceChildren();
  show(byId('variants'), false);
}

function takeVariant(job, choice, tokens) {
  const made = job.choices[choice.index] ||= {text: '', tokens: [], decoder: new TextDecoder()};
  const text = lines(choice.text || '');
  place(tokens, text, made.text.length, made.decoder);
  made.tokens.push(...tokens);
  made.text += text;
  made.finish = choice.finish_reason || made.finish;
}

function variantText({text, tokens}) {
  const {level} = levelNow(tokens), parts = [];
  let at = 0;
  for (const token of tokens) {
    if (token.start > at) parts.push(text.slice(at, token.start));
    parts.push(el('span', {class: classOf(token, level)}, text.slice(token.start, token.end)));
    at = token.end;
  }
  return parts.concat(text.slice(at));
}

function variantCard(job, made, index) {
  const scored = made.tokens.filter(isScored), mean = scored.reduce((sum, token) => sum + token.lp, 0) / scored.length;
  const facts = [plural(made.tokens.length, 'token'), scored.length ? `mean log-prob ${mean.toFixed(3)}` : null,
      FINISH[made.finish]];
  return el('li', {class: 'variant'},
    el('p', {class: 'variant-text'}, variantText(made)),
    el('p', {class: 'variant-foot'}, el('span', {class: 'hint'}, facts.filter(Boolean).join(' \u00b7 ')),
      el('button', {type: 'button', disabled: isRunning(), 'aria-label': `Use continuation ${index + 1}`,
          onclick: () => useVariant(job, made)}, 'Use')));
}

function drawVariants(job) {
  show(byId('variants'), job.choices.length > 0);
  byId('variants').replaceChildren(...job.choices.map((made, index) => variantCard(job, made, index)).filter(Boolean));
}

/* The text behind which they were made, then this one; Undo takes it off again. */
function useVariant(job, made) {
  remember('variant');
  const base = wholeText(job), tokens = made.tokens.map((token, nth) =>
    ({...token, start: token.start + base.length, end: token.end + base.length, made: job.made, origin: job.origin || undefined,
        nth}));
  setState({text: base + made.text, tokens: job.start.tokens.concat(job.lead, tokens)});
  followEnd(() => showText(doc.text.length));
  textChanged();
  paper.area.focus();
}

/* settings.js - the controls, from one table: fields of POST /v1/completions with the range that the page offers and what it
 * begins with. All are in every request: what the server's config says of sampling is not seen here, so it must not act. */
const FIELDS = [
  {name: 'max_tokens', label: 'Length', value: 64, min: 1, max: 1024, step: 1, slide: 256, help: 'new tokens at most'},
  {name: 'temperature', label: 'Temperature', value: 0.8, min: 0, max: 2, step: 0.05, slide: 2,
      help: '0 takes the best token each time'},
  {name: 'top_p', label: 'Top-p', value: 1, min: 0, max: 1, step: 0.01, slide: 1,
      help: 'keep the best tokens with this much probability'},
  {name: 'min_p', label: 'Min-p', value: 0, min: 0, max: 1, step: 0.01, slide: 1,
      help: 'drop tokens less probable than this share of the best one'},
  {name: 'top_k', label: 'Top-k', value: 0, min: 0, max: 100000, step: 1, help: 'keep the k best tokens; 0 keeps all'},
  {name: 'n', label: 'Side by side', value: 1, min: 1, max: 16, step: 1, help: 'continuations at once, to choose from'},
  {name: 'logprobs', label: 'Alternatives', value: 10, min: 0, max: 20, step: 1, help: 'shown for each token'},
  {name: 'repetition_penalty', label: 'Repetition', value: 1, min: 0.5, max: 3, step: 0.05, more: true,
      help: 'above 1: tokens seen before are less probable'},
  {name: 'presence_penalty', label: 'Presence', value: 0, min: -2, max: 2, step: 0.1, more: true,
      help: 'taken off tokens that were generated before'},
  {name: 'frequency_penalty', label: 'Frequency', value: 0, min: -2, max: 2, step: 0.1, more: true,
      help: 'the same, each time again'},
  {name: 'no_repeat_ngram_size', label: 'No repeated n-gram', value: 0, min: 0, max: 100, step: 1, more: true,
      help: 'no run of so many tokens comes twice; 0 allows it'},
  {name: 'typical_p', label: 'Typical-p', value: 1, min: 0.01, max: 1, step: 0.01, more: true,
      help: 'keep the tokens of most typical surprise'},
  {name: 'epsilon_cutoff', label: 'Epsilon cut-off', value: 0, min: 0, max: 1, step: 0.0001, more: true,
      help: 'drop tokens less probable than this'},
  {name: 'eta_cutoff', label: 'Eta cut-off', value: 0, min: 0, max: 1, step: 0.0001, more: true,
      help: 'the same, with a limit that falls as entropy grows'},
  {name: 'min_tokens', label: 'At least', value: 0, min: 0, max: 1024, step: 1, more: true,
      help: 'no end-of-text before so many new tokens'},
];
const settings = {values: Object.fromEntries(FIELDS.map(field => [field.name, field.value])), stop: '', bias: '', ignoreEos: false,
    seed: null, locked: false};

function control(field) {
  const {name, label, min, max, step, help} = field, id = `set-${name}`;
  const box = el('input', {type: 'number', id, min, max, step, inputmode: 'decimal', 'aria-describedby': `${id}-help`});
  const slider = field.slide && el('input', {type: 'range', min, max: Math.min(field.slide, max), step, tabindex: '-1',
      'aria-hidden': 'true'});
  const take = source => {
    const x = source.value === '' ? field.value : clamp(Number(source.value), Number(box.min), Number(box.max));
    settings.values[name] = Number.isFinite(x) ? x : field.value;
    if (source === slider) box.value = settings.values[name];
    else if (slider) slider.value = settings.values[name];
    settingsChanged();
  };
  box.addEventListener('input', () => take(box));
  box.addEventListener('change', () => box.value = settings.values[name]);
  slider?.addEventListener('input', () => take(slider));
  Object.assign(field, {box, slider});
  return el('div', {class: slider ? 'control wide' : 'control', title: help}, el('label', {for: id}, label), slider, box,
    el('span', {class: 'sr', id: `${id}-help`}, help));
}

function buildControls() {
  byId('controls-main').replaceChildren(...FIELDS.filter(field => !field.more).map(control));
  byId('controls-more').prepend(...FIELDS.filter(field => field.more).map(control));
  const texts = {'set-stop': 'stop', 'set-bias': 'bias'};
  for (const [id, name] of Object.entries(texts)) byId(id).addEventListener('input',
      event => (settings[name] = event.target.value, settingsChanged()));
  byId('set-ignore-eos').addEventListener('change', event => (settings.ignoreEos = event.target.checked, settingsChanged()));
  byId('set-seed').addEventListener('input', event => takeSeed(event.target.value));
  byId('lock').addEventListener('click', () => lockSeed(!settings.locked));
  showSettings();
}

function takeSeed(text) {
  settings.seed = /^\d{1,15}$/.test(text) ? Number(text) : null;
  lockSeed(settings.seed != null);
}

function lockSeed(locked) {
  settings.locked = locked;
  if (locked && settings.seed == null) settings.seed = newSeed();
  byId('set-seed').value = settings.seed ?? '';
  byId('lock').setAttribute('aria-pressed', locked);
  settingsChanged();
}

const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/* The seed of the next run: the locked one, or a fresh one that is shown, so that it can be locked afterwards. */
function nextSeed() {
  if (!settings.locked) settings.seed = newSeed();
  byId('set-seed').value = settings.seed;
  return settings.seed;
}

/* From what a session or a link says: known names, within their ranges. */
function setSettings(given) {
  for (const {name, value, min, max} of FIELDS) {
    const x = given.values?.[name];
    settings.values[name] = typeof x === 'number' && Number.isFinite(x) ? clamp(x, min, max) : value;
  }
  settings.stop = typeof given.stop === 'string' ? given.stop : '';
  settings.bias = typeof given.bias === 'string' ? given.bias : '';
  settings.ignoreEos = given.ignoreEos === true;
  settings.seed = Number.isSafeInteger(given.seed) && given.seed >= 0 ? given.seed : null;
  settings.locked = given.locked === true && settings.seed != null;
}

function showSettings() {
  for (const {name, box, slider} of FIELDS) {
    box.value = settings.values[name];
    if (slider) slider.value = settings.values[name];
  }
  byId('set-stop').value = settings.stop;
  byId('set-bias').value = settings.bias;
  byId('set-ignore-eos').checked = settings.ignoreEos;
  byId('set-seed').value = settings.seed ?? '';
  byId('lock').setAttribute('aria-pressed', settings.locked);
}

/* The server's limits, once it has said them. */
function limitControls({n_positions: positions, max_n: choices, max_logprobs: alternatives}) {
  const most = {max_tokens: positions, min_tokens: positions, n: choices, logprobs: alternatives};
  for (const {name, box, slider, slide} of FIELDS) {
    if (!(most[name] >= 0)) continue;
    box.max = most[name];
    if (slider) slider.max = Math.min(slide, most[name]);
    settings.values[name] = Math.min(settings.values[name], most[name]);
  }
  showSettings();
}

/* One stop text a line; \n, \t and \\ as in most languages. */
function stops() {
  return settings.stop.split('\n').filter(line => line !== '')
    .map(line => line.replace(/\\([nt\\])/g, (all, sign) => ({n: '\n', t: '\t', '\\': '\\'})[sign]));
}

function biases() {
  if (settings.bias.trim() === '') return null;
  try {
    return JSON.parse(settings.bias);
  } catch {
    throw new WireError('Logit bias: write JSON, ids and what is added to them, like {"262": -100}.', 0);
  }
}

function requestFields() {
  const fields = {...settings.values, ignore_eos: settings.ignoreEos}, stop = stops(), bias = biases();
  if (stop.length) fields.stop = stop;
  if (bias) fields.logit_bias = bias;
  return fields;
}

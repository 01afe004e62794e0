/* main.js - which key and button does what, and how the page comes up. */
function setBusy(busy) {
  paper.area.readOnly = busy;
  paper.area.setAttribute('aria-busy', busy);
  document.body.classList.toggle('busy', busy);
  showButtons();
}

function showButtons() {
  const busy = isRunning();
  const off = {continue: busy, stop: !busy, again: busy || !run.last, undo: busy || !past.length, redo: busy || !future.length,
               score: busy || !doc.text};
  for (const [id, disabled] of Object.entries(off)) byId(id).disabled = disabled;
}

/* After every change of the text, by whomever. */
function textChanged() {
  if (doc.text === '') room.tokens = 0;
  showButtons();
  countTokens();
  storeSoon();
  if (run.last?.n > 1) drawVariants(run.last);
}

function recolour(colour) {
  setColour(colour);
  if (run.last?.n > 1) drawVariants(run.last);
  storeSoon();
}

function settingsChanged() {
  showRoom();
  storeSoon();
}

function typed() {
  remember('typing');
  editText(paper.area.value);
  drawLayer();
  forgetScore();
  textChanged();
  panelAtCursor();
}

function goTo(move) {
  if (isRunning() || !move()) return;
  forgetScore();
  showText(doc.text.length);
  textChanged();
  panelAtCursor();
}

function areaKey(event) {
  const control = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
  const actions = {enter: event.shiftKey ? again : goOn, z: () => goTo(event.shiftKey ? redo : undo), y: () => goTo(redo)};
  const action = control ? actions[key] : event.key === 'F2' ? moveToPanel : null;
  if (!action) return;
  event.preventDefault();
  action();
}

function moveToPanel() {
  showPanel(tokenAt(paper.area.selectionStart));
  focusChosen();
}

/* Whether the server is there, said in one place. */
function setHealth(state, text) {
  byId('health').dataset.state = state;
  setText(byId('health-text'), text);
}

function serverGone() {
  wire.gone = true;
  setHealth('gone', 'server gone');
}

async function readInfo() {
  if (document.hidden) return;
  try {
    const info = await askJson('/tfrun/v1/info'), isFirst = wire.info === null || wire.gone;
    wire.info = info;
    wire.gone = false;
    setHealth('good', 'ready');
    if (isFirst) showInfo(info);
  } catch (error) {
    if (error.status === 0) serverGone();
    else if (error.status === 401) setHealth('locked', 'needs an API key');
    else setHealth('busy', error.status === 503 ? 'not ready' : 'no answer');
    if (error.status === 401 && !wire.key) byId('key-box').open = true;
  }
}

function showInfo(info) {
  const facts = [info.dtype, info.isa, info.threads && plural(info.threads, 'thread'),
                 info.ranks > 1 && plural(info.ranks, 'rank'), info.n_positions && `${count(info.n_positions)} positions`];
  setText(byId('model'), info.model);
  setText(byId('model-facts'), facts.filter(Boolean).join(' \u00b7 '));
  document.title = `${info.model} \u2013 tfrun`;
  show(byId('tokenizer'), info.tokenizer !== false);
  limitControls(info);
  notice('');
  countTokens();
  showRoom();
}

function onClicks() {
  const clicks = {
    continue: goOn, stop: stopRun, again, undo: () => goTo(undo), redo: () => goTo(redo), score: scoreText,
    'download-trace': downloadTrace,
    'copy-curl': event => copy(curl(), event.currentTarget), 'copy-link': event => copy(link(), event.currentTarget),
    'reset-settings': () => (setSettings({}), showSettings(), settingsChanged()),
  };
  for (const [id, work] of Object.entries(clicks)) byId(id).addEventListener('click', work);
}

function onText() {
  const {area} = paper, sheet = byId('sheet');
  area.addEventListener('input', typed);
  area.addEventListener('keydown', areaKey);
  document.addEventListener('selectionchange', panelAtCursor);
  sheet.addEventListener('pointermove', hover);
  sheet.addEventListener('pointerleave', leaveCard);
  sheet.addEventListener('scroll', closeCard);
  card.node.addEventListener('pointerenter', () => clearTimeout(card.timer));
  card.node.addEventListener('pointerleave', leaveCard);
  byId('token-panel').addEventListener('keydown', panelKey);
  byId('chips').addEventListener('keydown', chipKey);
}

function onPage() {
  const onRadios = (name, work) =>
    document.querySelectorAll(`input[name=${name}]`).forEach(radio => radio.addEventListener('change', () => work(radio.value)));
  onRadios('colour', recolour);
  onRadios('phase', drawMachine);
  document.addEventListener('keydown', event => {
    if (event.key !== 'Escape') return;
    if (!card.node.hidden) closeCard();
    else stopRun();
  });
  document.addEventListener('visibilitychange', () => (watchMetrics(), document.hidden ? store() : readInfo()));
  addEventListener('pagehide', store);
  addEventListener('hashchange', openLink);
  byId('machine').addEventListener('toggle', openMachine);
  byId('tokenizer').addEventListener('toggle', drawTokenizer);
  byId('key').addEventListener('input', event => wire.key = event.target.value.trim());
  byId('key').addEventListener('change', readInfo);
}

/* A link pasted into the address of this page. */
function openLink() {
  if (location.hash.length < 2 || isRunning()) return;
  store();
  restore();
  textChanged();
}

buildControls();
onClicks();
onText();
onPage();
setColour('plain');
restore();
showPanel(-1);
textChanged();
readInfo();
setInterval(readInfo, 5000);

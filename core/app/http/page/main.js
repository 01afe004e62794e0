/* main.js - which key and button does what, and how the page comes up. */
function setBusy(busy) {
  paper.area.readOnly = busy;
  paper.area.setAttribute('aria-busy', busy);
  document.body.classList.toggle('busy', busy);
  showButtons();
}

function showButtons() {
  const busy = isRunning(), mute = busy || !canAsk(), focused = document.activeElement;
  const off = {continue: mute, stop: !busy, again: mute || !run.last, undo: busy || !past.length,
               redo: busy || !future.length, score: mute || !doc.text};
  for (const [id, disabled] of Object.entries(off)) byId(id).disabled = disabled;
  if (focused.disabled) keepFocus(focused.id);
}

/* A button that is off has lost the focus, and the keyboard with it: to its twin, or the next best. */
function keepFocus(id) {
  const twin = {undo: 'redo', redo: 'undo'}[id] || (isRunning() ? 'stop' : 'continue');
  (byId(twin).disabled ? paper.area : byId(twin)).focus();
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

/* Away: what needs the server is off; text, undo, tokens that are known, settings and copies are not. */
function setAway(gone) {
  if (wire.gone === gone) return;
  wire.gone = gone;
  setText(byId('away'), gone ? `The server is away: nothing answers at ${location.host}. Text and settings are kept in this ` +
    'browser. Writing, Undo, known probabilities and copying work on; Continue, Score and branches wait for it.' : '');
  if (!gone) notice('');
  showOff();
}

function serverGone() {
  setAway(true);
  setHealth('gone', 'server away');
}

async function readInfo() {
  if (readInfo.isUnderWay) return;
  readInfo.isUnderWay = true;
  const {key} = wire;
  try {
    const info = await askJson('/tfrun/v1/info', null, AbortSignal.timeout(10000));
    if (key === wire.key) takeInfo(info);
  } catch (error) {
    if (key === wire.key) noInfo(error);
  }
  readInfo.isUnderWay = false;
  if (key !== wire.key) readInfo(); /* that was the word on another key */
}

/* What does not change while a server runs: another one may have begun while nobody looked. */
const lasting = info => JSON.stringify({...info, serving: null, max_slots: null});

function takeInfo(info) {
  const isNew = wire.gone || lasting(info) !== lasting(wire.info);
  wire.info = info;
  setAway(false);
  setHealth('good', 'ready');
  if (unlock() || isNew) showInfo(info);
}

function noInfo({status}) {
  if (status === 0) return serverGone();
  setAway(false);
  if (status === 401) shut();
  else setHealth('busy', status === 503 ? 'not ready' : 'no answer');
}

/* Once in five seconds, once in one while it is away; not while nobody looks, or a run has its own word. */
function watchServer() {
  watchServer.seconds = (watchServer.seconds || 0) + 1;
  if (!document.hidden && !isRunning() && (wire.gone || watchServer.seconds % 5 === 0)) readInfo();
}

/* For when the server is away: see offline.js. Only a secure context has it: https, or this machine. */
function keepCopy() {
  const address = '/offline.js', policy = window.trustedTypes?.createPolicy('tfrun-offline', {createScriptURL: () => address});
  navigator.serviceWorker?.register(policy ? policy.createScriptURL('') : address).catch(() => null);
}

function showInfo(info) {
  const facts = [info.dtype, info.isa, info.threads && plural(info.threads, 'thread'),
                 info.ranks > 1 && plural(info.ranks, 'rank'), info.n_positions && `${count(info.n_positions)} positions`];
  setText(byId('model'), info.model);
  setText(byId('model-facts'), facts.filter(Boolean).join(' \u00b7 '));
  document.title = `${info.model} \u2013 tfrun`;
  showAble(info);
  limitControls(info);
  countTokens();
  showRoom();
  openMachine();
}

/* A field that can't be sent is told as Continue tells it. */
function copyMade(make, button) {
  let text;
  try {
    text = make();
  } catch (error) {
    return notice(error.message);
  }
  notice('');
  return copy(text, button);
}

function onClicks() {
  const clicks = {
    continue: goOn, stop: stopRun, again, undo: () => goTo(undo), redo: () => goTo(redo), score: scoreText,
    'download-trace': downloadTrace, measure: measureMachine,
    'copy-curl': event => copyMade(curl, event.currentTarget), 'copy-link': event => copyMade(link, event.currentTarget),
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
  byId('key').addEventListener('input', keyTyped);
  byId('key').addEventListener('change', takeKey);
}

/* A link pasted into the address of this page. */
function openLink() {
  if (linked() === '' || isRunning()) return;
  store();
  restore();
  showPanel(-1);
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
setInterval(watchServer, 1000);
keepCopy();

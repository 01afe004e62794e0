/* card.js - one token and what else could have stood there: beside the text for the cursor, over it for the pointer. */
const card = {index: -1, node: byId('card'), timer: 0, frame: 0};

const COLUMNS = ['token', 'prob', 'log', 'id', 'bytes'];
const pairOf = ([name, value]) => el('div', null, el('dt', null, name), el('dd', null, value));

function facts(token) {
  const bytes = hexOf(bytesOf(token.piece));
  const list = [
    ['probability', percent(Math.exp(token.lp))], ['log-prob', token.lp.toFixed(4)], ['surprisal', `${brief(bitsOf(token))} bits`],
    ['rank', token.rank ? count(token.rank) : '\u2013'], ['id', token.id ?? '\u2013'], ['bytes', bytes],
  ];
  return el('dl', {class: 'token-facts'}, list.map(pairOf));
}

/* A row of the list: a bar as long as it is probable, and a button that goes on from there. */
function alternative(index, token, other) {
  const p = Math.exp(other.lp), isIt = other.piece === token.piece, bytes = hexOf(bytesOf(other.piece));
  const canBranch = isWhole(other.piece) || (other.id != null && idsBefore(index) != null);
  const label = `${visible(other.piece)}, ${percent(p)}${isIt ? ', chosen' : ''}`;
  const row = el('button', {
    type: 'button', class: isIt ? 'alternative chosen' : 'alternative', disabled: !canBranch,
    'aria-label': label, 'aria-disabled': canAsk() ? null : 'true',
    title: canBranch ? `id ${other.id ?? 'unknown'}, bytes ${bytes}: go on from here with this token` : 'a part of a character',
    onclick: () => branch(index, other),
  }, Object.entries({piece: visible(other.piece), p: percent(p), lp: other.lp.toFixed(2), id: other.id ?? '', hex: bytes})
    .map(([name, value]) => el('span', {class: name}, value)));
  row.style.setProperty('--share', `${(100 * p).toFixed(2)}%`);
  return el('li', null, row);
}

function tokenParts(index) {
  const token = doc.tokens[index];
  if (!isScored(token)) {
    return [el('p', {class: 'hint'}, token && token.lp === null
      ? 'The first token has nothing before it that could say how probable it is.'
      : 'Nothing is known of the token here. Continue, or Score, and put the cursor on a token or the pointer over one.')];
  }
  const others = token.top.some(other => other.piece === token.piece) ? token.top : token.top.concat([token]);
  return [
    el('p', {class: 'token-head'}, el('span', {class: 'piece big'}, visible(token.piece)), el('span', {class: 'hint'},
      token.picked ? 'your choice' : token.made ? 'by the model' : 'scored')),
    facts(token),
    el('div', {class: 'columns', 'aria-hidden': 'true'}, COLUMNS.map(name => el('span', null, name))),
    el('ol', {class: 'alternatives'}, others.map(other => alternative(index, token, other))),
  ];
}

/* Beside the text: the token at the cursor. */
function showPanel(index) {
  mark(index);
  byId('token-body').replaceChildren(...tokenParts(index));
}

const panelAtCursor = eachFrame(() => {
  if (document.activeElement === paper.area) showPanel(tokenAt(paper.area.selectionStart));
});

/* In the panel: up and down between alternatives, left and right between tokens. */
function panelKey(event) {
  const rows = [...byId('token-body').querySelectorAll('.alternative:enabled')], at = rows.indexOf(document.activeElement);
  const row = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
  const side = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (row != null) {
    rows[clamp(row, 0, rows.length - 1)]?.focus();
  } else if (side) {
    moveToken(side);
  } else if (event.key === 'Escape') {
    paper.area.focus();
  } else {
    return;
  }
  event.preventDefault();
}

function moveToken(side) {
  let index = paper.marked < 0 ? (side > 0 ? -1 : doc.tokens.length) : paper.marked;
  do index += side;
  while (doc.tokens[index] && !isScored(doc.tokens[index]));
  if (!doc.tokens[index]) return;
  showPanel(index);
  paper.spans[index]?.scrollIntoView({block: 'nearest'});
  const {piece, lp} = doc.tokens[index];
  announce(`${visible(piece)}, ${percent(Math.exp(lp))}`);
  focusChosen();
}

function focusChosen() {
  const body = byId('token-body'), rows = ['.chosen:enabled', '.alternative:enabled'].map(kind => body.querySelector(kind));
  (rows[0] || rows[1] || byId('token-panel')).focus({preventScroll: true});
}

/* Over the text: the token under the pointer, until the pointer has left both. */
function hover(event) {
  cancelAnimationFrame(card.frame);
  card.frame = requestAnimationFrame(() => {
    const index = event.pointerType === 'touch' ? -1 : tokenUnder(event.clientX, event.clientY);
    if (index === card.index) return;
    clearTimeout(card.timer);
    card.timer = setTimeout(() => isScored(doc.tokens[index]) ? openCard(index, event) : closeCard(), index < 0 ? 250 : 90);
  });
}

function openCard(index, event) {
  const {node} = card, span = paper.spans[index];
  if (!span) return;
  card.index = index;
  node.replaceChildren(...tokenParts(index));
  show(node, true);
  const boxes = [...span.getClientRects()], isIn = box => event.clientY >= box.top && event.clientY <= box.bottom;
  const line = boxes.find(isIn) || boxes[0];
  const {width, height} = node.getBoundingClientRect(), below = line.bottom + height < innerHeight;
  node.style.left = `${clamp(line.left - 12, 8, innerWidth - width - 8)}px`;
  node.style.top = `${below ? line.bottom : Math.max(8, line.top - height)}px`;
}

function closeCard() {
  clearTimeout(card.timer);
  card.index = -1;
  show(card.node, false);
}

function leaveCard() {
  cancelAnimationFrame(card.frame);
  clearTimeout(card.timer);
  card.timer = setTimeout(closeCard, 200);
}

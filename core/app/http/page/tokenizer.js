/* tokenizer.js - the text as the model reads it: pieces with their ids, blanks and bytes made visible. */
const tokenizer = {reply: null, starts: []};

function showTokenizer(reply) {
  tokenizer.reply = reply;
  setText(byId('token-count'), reply.tokens.length
      ? `${plural(reply.tokens.length, 'token')}, ${plural(encoder.encode(doc.text).length, 'byte')}` : '');
  drawTokenizer();
}

/* Where each piece begins in the text, so that a click can select it. */
function pieceSpans(pieces) {
  return place(pieces.map(piece => ({piece})), doc.text, 0);
}

function chip({piece, start, end}, id) {
  const bytes = hexOf(bytesOf(piece)), isPart = !isWhole(piece);
  return el('li', null, el('button', {
    type: 'button', class: isPart ? 'chip part' : 'chip', tabindex: '-1', title: `id ${id}, bytes ${bytes}`,
        'aria-label': `${visible(piece)}, id ${id}`,
    onclick: () => {
      paper.area.focus();
      paper.area.setSelectionRange(start, end);
    },
  }, el('span', {class: 'piece'}, isPart ? bytes : visible(piece)), el('span', {class: 'id'}, id)));
}

function drawTokenizer() {
  const {reply} = tokenizer;
  if (!byId('tokenizer').open || !reply?.token_strs) return;
  const spans = pieceSpans(reply.token_strs);
  byId('chips').replaceChildren(...spans.map((span, i) => chip(span, reply.tokens[i])));
  byId('chips').querySelector('button')?.setAttribute('tabindex', '0');
}

/* One stop of the tab key for all chips; arrows go from one to the next. */
function chipKey(event) {
  const side = {ArrowLeft: -1, ArrowRight: 1}[event.key], chips = [...byId('chips').querySelectorAll('button')];
  const next = chips[chips.indexOf(document.activeElement) + side];
  if (!next) return;
  document.activeElement.setAttribute('tabindex', '-1');
  next.setAttribute('tabindex', '0');
  next.focus();
  event.preventDefault();
}

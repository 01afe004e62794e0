/* paper.js - the text area and the layer behind it that shows tokens: what was written by the model, how probable it was.
 *
 * The area holds the text and takes the keys, so that it edits, selects and reads aloud like any other; the layer has the same
 * text in the same places, unseen, with a span for each token. */
const paper = {area: byId('text'), layer: byId('mirror'), spans: [], colour: 'plain', marked: -1};

/* The area's text after doc changed other than by typing; the cursor stays unless it is said where. */
function showText(cursor) {
  const {area} = paper;
  if (area.value !== doc.text) {
    const at = cursor ?? area.selectionStart;
    area.value = doc.text;
    area.setSelectionRange(at, at);
  } else if (cursor != null) {
    area.setSelectionRange(cursor, cursor);
  }
  drawLayer();
}

function spanOf(token, index) {
  const span = el('span', null, doc.text.slice(token.start, token.end));
  span.token = index;
  paper.spans[index] = span;
  return span;
}

/* Tokens from `from` on, and the text between them, from `at` on. */
function layerParts(from, at) {
  const parts = [];
  for (let i = from; i < doc.tokens.length; i++) {
    const token = doc.tokens[i];
    if (token.start > at) parts.push(doc.text.slice(at, token.start));
    parts.push(spanOf(token, i));
    at = token.end;
  }
  if (at < doc.text.length) parts.push(doc.text.slice(at));
  return parts;
}

function drawLayer() {
  paper.spans = [];
  paper.layer.replaceChildren(...layerParts(0, 0));
  drawColours();
}

/* What a run appended since the last frame: only its end is new, which begins behind all that is shown, not behind the last token:
 * what was typed after that is in the layer already. */
function appendToLayer() {
  const {area, layer, spans} = paper;
  const known = spans.length, shown = area.value.length, isAtEnd = area.selectionStart >= shown;
  if (known > doc.tokens.length || !doc.text.startsWith(area.value)) return showText(doc.text.length);
  area.setRangeText(doc.text.slice(shown), shown, shown, isAtEnd ? 'end' : 'preserve');
  if (known === 0) return drawLayer();
  layer.append(...layerParts(known, shown));
  drawColours(paper.colour === 'surprisal' ? 0 : known);
}

function classOf(token, level) {
  if (paper.colour === 'plain') return token.made ? 'made' : '';
  return isScored(token) ? `l${level(token)}` : '';
}

function levelNow(tokens) {
  if (paper.colour !== 'surprisal') return {level: rankLevel, edges: null};
  return surprisalScale(tokens);
}

/* Of the tokens that are drawn: a run may have more, until the next frame. */
function drawColours(from = 0) {
  const {level, edges} = levelNow(doc.tokens);
  for (let i = from; i < paper.spans.length; i++) {
    const wanted = classOf(doc.tokens[i], level) + (i === paper.marked ? ' at' : '');
    if (paper.spans[i].className !== wanted) paper.spans[i].className = wanted;
  }
  drawLegend(edges);
}

/* What the colours mean, in words. */
function drawLegend(edges) {
  const bits = edges && edges.map(brief), levelled = (text, i) => [`l${i}`, text];
  const steps = {
    plain: [['made', 'written by the model']],
    rank: ['the model\u2019s first choice', 'in its first 10', 'in its first 100', 'in its first 1,000', 'beyond'].map(levelled),
    surprisal: bits && [`under ${bits[0]} bits`, `to ${bits[1]}`, `to ${bits[2]}`, `to ${bits[3]}`, 'above'].map(levelled),
  }[paper.colour];
  const key = JSON.stringify(steps);
  if (drawLegend.key === key) return;
  drawLegend.key = key;
  byId('legend').replaceChildren(...steps.map(([style, text]) => el('li', null, el('span', {class: style}, 'token'), ' ', text)));
}

function setColour(colour) {
  paper.colour = colour;
  paper.layer.dataset.colour = colour;
  for (const radio of document.querySelectorAll('input[name=colour]')) radio.checked = radio.value === colour;
  drawColours();
}

function mark(index) {
  paper.spans[paper.marked]?.classList.remove('at');
  paper.marked = index;
  paper.spans[index]?.classList.add('at');
}

/* The token under the pointer, which is over the area: the layer lies behind it. */
function tokenUnder(x, y) {
  const span = document.elementsFromPoint(x, y).find(node => node.token != null);
  return span ? span.token : -1;
}

/* Does `work`, which makes the text longer; the end stays in view where it was, and nowhere else. */
function followEnd(work) {
  const sheet = byId('sheet'), follows = sheet.scrollHeight - sheet.scrollTop - sheet.clientHeight < 40;
  work();
  if (follows) sheet.scrollTop = sheet.scrollHeight;
}

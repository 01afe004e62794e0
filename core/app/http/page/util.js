/* util.js - elements without markup, numbers for people, work once a frame. */
const byId = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

/* el('p', {class: 'x', onclick: f}, 'text', node): a child that is no node becomes text, whatever is in it. */
function el(tag, given, ...children) {
  return fill(document.createElement(tag), given, children);
}

function svg(tag, given, ...children) {
  return fill(document.createElementNS(SVG, tag), given, children);
}

function fill(node, given, children) {
  for (const [name, value] of Object.entries(given || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(child => child != null));
  return node;
}

function show(node, shown) {
  node.hidden = !shown;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/* The last call within `ms` is the one that counts. */
function later(ms, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
}

/* However often it is asked for, the work is done once before the next frame; a hidden page has none, but goes on. */
function eachFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const go = () => {
      asked = false;
      work();
    };
    if (document.hidden) setTimeout(go, 50);
    else requestAnimationFrame(go);
  };
}

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const count = n => Number(n).toLocaleString('en-US');
const plural = (n, one) => `${count(n)} ${one}${n === 1 ? '' : 's'}`;

/* Three digits that say something: 0.0312, 4.17, 61.3, 842; whole numbers as they are. */
function brief(x) {
  if (!Number.isFinite(x)) return '\u2013';
  const size = Math.abs(x);
  if (Number.isInteger(x)) return count(x);
  return size >= 100 ? x.toFixed(0) : size >= 10 ? x.toFixed(1) : size >= 1 ? x.toFixed(2) : String(Number(x.toPrecision(3)));
}

function seconds(s) {
  return s < 0.9995 ? `${brief(s * 1000)} ms` : `${brief(s)} s`;
}

function percent(p) {
  return p >= 0.9995 ? '100 %' : p >= 0.0995 ? `${(100 * p).toFixed(1)} %` : p >= 1e-4 ? `${(100 * p).toFixed(2)} %` : '< 0.01 %';
}

/* For the screen reader: at most one text in three seconds, the last one wins; a function is asked when its turn comes. */
const announce = (() => {
  let next = 0, waiting = 0, text = '';
  const say = () => {
    waiting = 0;
    next = Date.now() + 3000;
    byId('live').textContent = typeof text === 'function' ? text() : text;
  };
  return sentence => {
    text = sentence;
    if (!waiting) waiting = setTimeout(say, Math.max(0, next - Date.now()));
  };
})();

/* An origin that is not secure has no clipboard; the old way may still work. It takes the focus, which goes back. */
function copyByField(text) {
  const field = el('textarea', {class: 'sr', 'aria-hidden': 'true', tabindex: '-1'}), focused = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  focused?.focus();
  return isCopied;
}

async function copy(text, button) {
  const write = async () => navigator.clipboard.writeText(text);
  const isCopied = await write().then(() => true, () => copyByField(text));
  const said = isCopied ? 'Copied' : 'Not copied';
  button.dataset.label ||= button.textContent; /* of a second click too, while the first one is still told */
  setText(button, said);
  announce(`${said}.`);
  clearTimeout(button.timer);
  button.timer = setTimeout(() => setText(button, button.dataset.label), 1500);
}

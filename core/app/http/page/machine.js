/* machine.js - pictures of the machine: the step as a graph, the roofline, where the time of the last request went. */
const DRAWN = new Set(['svg', 'g', 'path', 'polygon', 'polyline', 'ellipse', 'circle', 'rect', 'line', 'text', 'tspan', 'title',
  'defs', 'use', 'clipPath', 'desc']);

/* A copy of a picture's nodes with what draws and nothing else: no script, no handler, no address but its own parts. */
function copyPicture(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.nodeValue);
  if (node.nodeType !== Node.ELEMENT_NODE || (!DRAWN.has(node.localName) && node.localName !== 'a')) return null;
  const copied = document.createElementNS(SVG, node.localName === 'a' ? 'g' : node.localName);
  for (const {name, localName, value} of node.attributes) copyAttribute(copied, name, localName, value);
  copied.append(...[...node.childNodes].map(copyPicture).filter(Boolean));
  return copied;
}

function copyAttribute(copied, name, localName, value) {
  const isHref = localName === 'href';
  if (localName === 'title') copied.append(svg('title', null, value)); /* graphviz's tooltip */
  else if (name === 'style') copied.style.cssText = value;
  else if (isHref ? value.startsWith('#') : !/^(on|xml)/i.test(name)) copied.setAttribute(isHref ? 'href' : name, value);
}

/* In a tree of its own, so that the picture's style rules stay there. */
function showPicture(frame, picture) {
  show(frame.closest('figure'), picture);
  if (!picture) return;
  const root = frame.shadowRoot || frame.attachShadow({mode: 'open'}), sheet = new CSSStyleSheet();
  const rules = [...picture.querySelectorAll('style')].map(node => node.textContent).join('\n');
  sheet.replaceSync(`${rules}\nsvg { max-width: 100%; height: auto; display: block }`);
  root.adoptedStyleSheets = [sheet];
  root.replaceChildren(copyPicture(picture.documentElement));
}

const phase = () => document.querySelector('input[name=phase]:checked').value;

/* Roofline and profile take steps of the engine: asked for where the server has them, one after the other, not after every run. */
async function drawMachine() {
  const picture = name => askPicture(`/tfrun/v1/${name}.svg?phase=${phase()}`), profiles = wire.info?.profile;
  showPicture(byId('graph'), await picture('graph'));
  showPicture(byId('roofline'), profiles ? await picture('roofline') : null);
  showProfile(profiles ? await askJson('/tfrun/v1/profile').catch(() => null) : null);
}

/* The nodes that took most of the time of a step. */
function showProfile(profile) {
  const nodes = profile?.phases?.[phase()]?.nodes;
  show(byId('profile'), nodes?.length > 0);
  if (!nodes) return;
  const rows = nodes.slice().sort((a, b) => b.ms - a.ms).slice(0, 12);
  byId('profile-rows').replaceChildren(...rows.map(({name, kernel, ms, share, flops, bytes}) => {
    const cells = [name, kernel, brief(ms), percent(share), brief(flops / 1e6), brief(bytes / 1e6)];
    const row = el('tr', null, cells.map(text => el('td', null, text ?? '\u2013')));
    row.style.setProperty('--share', `${100 * share}%`);
    return row;
  }));
}

/* [name, from, to] in ms since it was sent: the server's account where it gives one, else what was seen here. */
function spansOfRun({sent, first, end, timings, tokens}) {
  const total = end - sent, start = first == null ? total : first - sent;
  const queued = Math.min(timings?.queue_ms ?? 0, start), read = Math.min(queued + (timings?.prompt_ms ?? start - queued), start);
  const last = tokens.length ? tokens.at(-1) - sent : start;
  return [['queue', 0, queued], ['prompt', queued, read], ['decode', start, last]].filter(([, a, b]) => b > a);
}

function showTimeline() {
  const {times} = run;
  show(byId('timeline-box'), times?.end);
  if (!times?.end) return;
  const total = times.end - times.sent, x = ms => (1000 * ms / total).toFixed(1), spans = spansOfRun(times);
  const words = ([name, a, b]) => `${name} ${seconds((b - a) / 1000)}`, label = spans.map(words).join(', ');
  const given = {viewBox: '0 0 1000 30', preserveAspectRatio: 'none', role: 'img', 'aria-label': label};
  byId('timeline').replaceChildren(svg('svg', given,
    spans.map(([name, a, b]) => svg('rect', {class: name, x: x(a), y: 0, width: Math.max(1, x(b) - x(a)), height: 18})),
    times.tokens.map(at => svg('rect', {class: 'tick', x: x(at - times.sent), y: 20, width: 1.2, height: 9}))));
  byId('timeline-key').replaceChildren(...spans.map(span => el('li', {class: span[0]}, words(span))),
    el('li', {class: 'tick'}, `${plural(times.tokens.length, 'event')} in ${seconds(total / 1000)}`));
}

/* For a trace viewer: the spans, and each token as it came. */
function downloadTrace() {
  const {times} = run, us = ms => Math.round(1000 * ms);
  const event = (tid, name, a, b) => ({name, ph: 'X', pid: 1, tid, ts: us(a), dur: Math.max(1, us(b - a))});
  const gap = (at, i) => event(2, `token ${i + 1}`, (times.tokens[i - 1] ?? times.sent) - times.sent, at - times.sent);
  const events = spansOfRun(times).map(span => event(1, ...span)).concat(times.tokens.map(gap));
  const trace = {traceEvents: events, displayTimeUnit: 'ms'};
  const address = URL.createObjectURL(new Blob([JSON.stringify(trace)], {type: 'application/json'}));
  el('a', {href: address, download: 'tfrun-request.json'}).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function machineAfterRun() {
  if (byId('machine').open) showTimeline();
}

function openMachine() {
  watchMetrics();
  if (!byId('machine').open) return;
  showTimeline();
  drawMachine();
}

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

/* In a tree of its own, so that the picture's style rules stay there; and what there is to say, or why there is none. */
function showPicture(frame, {picture, why}) {
  show(frame.closest('figure'), picture || why);
  show(frame, picture);
  show(frame.nextElementSibling, why);
  setText(frame.nextElementSibling, why || '');
  if (!picture) return;
  const root = frame.shadowRoot || frame.attachShadow({mode: 'open'}), sheet = new CSSStyleSheet();
  const rules = [...picture.querySelectorAll('style')].map(node => node.textContent).join('\n');
  sheet.replaceSync(`${rules}\nsvg { width: 100%; min-width: var(--least); height: auto; display: block }
    #graph0 > polygon:first-of-type, #gnuplot_canvas > rect:first-of-type { fill: none }`); /* the ground is the page's */
  root.adoptedStyleSheets = [sheet];
  root.replaceChildren(copyPicture(picture.documentElement));
}

const phase = () => document.querySelector('input[name=phase]:checked').value;

const machine = {profile: null, asked: 0};
const NO_PROFILE = 'Start the server with --profile to see where the time of a step goes: in colours of the graph, as a roofline ' +
  'and as a table. It takes steps of the engine while nothing else runs.';

/* A profile takes steps of an idle engine: when the machine is opened, and by its button, not after every run. Graph and roofline
 * show the server's last one. */
async function measureMachine() {
  const {profile: hasProfiles} = wire.info, button = byId('measure');
  let note = hasProfiles ? '' : NO_PROFILE;
  show(button, hasProfiles);
  button.disabled = true;
  if (hasProfiles) {
    setText(byId('measure-note'), 'Measuring\u2026');
    try {
      machine.profile = await askJson('/tfrun/v1/profile');
    } catch (error) {
      note = error.status === 429 ? 'Others are at work here: a step is measured while nothing runs.' : error.message;
    }
  }
  button.disabled = false;
  setText(byId('measure-note'), note);
  drawMachine();
  const doubts = machine.profile?.doubts, roofline = hasProfiles ? await askPicture('/tfrun/v1/roofline.svg') : {};
  if (doubts) roofline.why ||= `These roofs may not hold: ${doubts}. When the machine is quiet, run tfrun calibrate again.`;
  showPicture(byId('roofline'), roofline);
}

async function drawMachine() {
  const groups = groupsOf(machine.profile?.phases?.[phase()]?.nodes || []), asked = ++machine.asked;
  showProfile(groups);
  const picture = await askPicture(`/tfrun/v1/graph.svg?phase=${phase()}`);
  if (asked !== machine.asked) return; /* another phase was chosen meanwhile */
  showPicture(byId('graph'), picture);
  const most = groups.slice(0, 5).map(({name, share}) => `${name} ${percent(share)}`).join(', ');
  byId('graph').ariaLabel = most ? `The step as a graph, coloured by share of the time: most took ${most}` : 'The step as a graph';
}

/* Blocks together and shares of the time in kernels, as the graph has them: those that took most of it first. */
function groupsOf(nodes) {
  const groups = new Map(), all = nodes.reduce((sum, {ms}) => sum + ms, 0);
  for (const {name, kernel, ms, flops, bytes} of nodes) {
    const key = name.replace(/^h\.\d+\./, 'h.*.');
    const sum = groups.get(key) || {name: key, kernel, ms: 0, share: 0, flops: 0, bytes: 0};
    groups.set(key, sum);
    sum.ms += ms;
    sum.share += ms / all;
    sum.flops += flops;
    sum.bytes += bytes;
  }
  return [...groups.values()].sort((a, b) => b.ms - a.ms);
}

function showProfile(groups) {
  show(byId('profile'), groups.length > 0);
  byId('profile-rows').replaceChildren(...groups.slice(0, 12).map(({name, kernel, ms, share, flops, bytes}) => {
    const cells = [name, kernel, brief(ms), percent(share), brief(flops / ms / 1e6), brief(bytes / ms / 1e6)];
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
  if (!byId('machine').open || !wire.info || wire.gone) return;
  showTimeline();
  measureMachine();
}

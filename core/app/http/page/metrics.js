/* metrics.js - the live strip: /metrics once a second while it is looked at, its counters as rates, the last minute as lines. */
const strip = {timer: 0, last: null, history: {}, shown: 60};
const TILES = [
  {name: 'running', label: 'running', value: ({now}) => now.tfrun_requests_running},
  {name: 'waiting', label: 'waiting', value: ({now}) => now.tfrun_requests_waiting},
  {name: 'rate', label: 'tokens/s', value: ({rate}) => rate('tfrun_generation_tokens_total')},
  {name: 'batch', label: 'rows a step', value: ({mean}) => mean('tfrun_iteration_tokens')},
  {name: 'itl', label: 'gap p95', value: ({quantile}) => quantile('tfrun_itl_seconds', 0.95), text: x => seconds(x)},
  {name: 'kv', label: 'kv in use', value: ({now}) => now.tfrun_kv_usage_ratio, text: x => percent(x)},
];

/* name -> value, sums over labels; histograms as {le: count} under name_bucket. */
function parseMetrics(text) {
  const found = {at: performance.now()};
  for (const [, name, labels, value] of text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/gm)) {
    const edge = labels && /(?:^|,)le="([^"]+)"/.exec(labels);
    if (!edge) {
      found[name] = (found[name] || 0) + Number(value);
    } else {
      const key = edge[1] === '+Inf' ? Infinity : Number(edge[1]), buckets = found[name] ||= new Map();
      buckets.set(key, (buckets.get(key) || 0) + Number(value));
    }
  }
  return found;
}

/* What changed between two readings. */
function between(old, now) {
  const grown = name => (now[name] || 0) - (old?.[name] || 0);
  return {
    now,
    rate: name => old ? 1000 * grown(name) / (now.at - old.at) : null,
    mean: name => old && grown(`${name}_count`) > 0 ? grown(`${name}_sum`) / grown(`${name}_count`) : null,
    quantile: (name, share) => old ? quantileOf(old[`${name}_bucket`], now[`${name}_bucket`], share) : null,
  };
}

function quantileOf(old, now, share) {
  if (!now) return null;
  const edges = [...now].map(([edge, n]) => [edge, n - (old?.get(edge) || 0)]).sort((a, b) => a[0] - b[0]);
  const wanted = share * edges.at(-1)[1];
  if (!(wanted > 0)) return null;
  let below = 0, low = 0;
  for (const [edge, n] of edges) {
    if (n >= wanted) return edge === Infinity ? low : low + (edge - low) * (wanted - below) / Math.max(1, n - below);
    [below, low] = [n, edge];
  }
  return low;
}

function sparkline(values) {
  const most = Math.max(1e-9, ...values.filter(x => x != null)), from = strip.shown - values.length;
  const parts = values.map((x, i) => x == null ? ''
    : `${i && values[i - 1] != null ? 'L' : 'M'}${from + i} ${(20 - 18 * x / most).toFixed(1)}`);
  return svg('svg', {viewBox: `0 0 ${strip.shown} 21`, preserveAspectRatio: 'none', 'aria-hidden': 'true'},
    svg('path', {d: parts.join('')}));
}

function drawTile({name, label, text}, value) {
  const values = strip.history[name] ||= [];
  values.push(value);
  if (values.length > strip.shown) values.shift();
  return el('div', {class: 'tile'}, el('dt', null, label), el('dd', null, value == null ? '\u2013' : (text || brief)(value)),
    sparkline(values));
}

/* One question at a time: a server that is stopped answers none. */
async function readMetrics() {
  if (readMetrics.isUnderWay) return;
  readMetrics.isUnderWay = true;
  try {
    const reply = await ask('/metrics', null, AbortSignal.timeout(10000));
    const now = parseMetrics(await reply.text()), change = between(strip.last, now);
    strip.last = now;
    byId('strip').replaceChildren(...TILES.map(tile => drawTile(tile, tile.value(change) ?? null)));
    setText(byId('strip-note'), '');
  } catch (error) {
    strip.last = null;
    setText(byId('strip-note'), error.status === 404 ? 'This server has no /metrics.' : error.message);
  }
  readMetrics.isUnderWay = false;
}

/* While the machine is open and the page is looked at. */
function watchMetrics() {
  const wanted = byId('machine').open && !document.hidden;
  if (wanted && !strip.timer) {
    readMetrics();
    strip.timer = setInterval(readMetrics, 1000);
  } else if (!wanted && strip.timer) {
    clearInterval(strip.timer);
    strip.timer = 0;
    strip.last = null;
  }
}

/* page_audit.js - run inside the page by test_page.py: what is hard to read, unnamed, too wide. Returns a list of sentences. */
(() => {
  const found = [];
  const channels = colour => {
    const numbers = colour.match(/[\d.]+/g).map(Number), isUnit = colour.startsWith('color(srgb');
    const [r, g, b, a = 1] = numbers;
    return isUnit ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((x, i) => a * x + (1 - a) * under[i]);
  const linear = x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  const light = colour => 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const ground = node => {
    const parents = [];
    for (let at = node; at; at = at.parentElement) parents.push(channels(getComputedStyle(at).backgroundColor));
    return parents.reverse().reduce((under, colour) => over(colour, under), [255, 255, 255]);
  };
  const hidden = {checkOpacity: true, checkVisibilityCSS: true};
  const isSeen = node => node.checkVisibility(hidden) && !node.closest('.sr, .skip, #mirror');
  const judge = (node, colour, under, what) => {
    const have = ratio(over(channels(colour), under), under);
    if (have < 4.5) found.push(`${what} has a contrast of ${have.toFixed(2)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, node = text.parentElement;
    if (!text.data.trim() || node.closest('script, style, noscript, button:disabled, svg') || !isSeen(node)) continue;
    const under = ground(node), style = getComputedStyle(node);
    judge(node, style.color, under, `"${text.data.trim().slice(0, 30)}"`);
  }
  const area = document.getElementById('text'), layer = document.getElementById('mirror');
  for (const name of ['made', 'l0', 'l1', 'l2', 'l3', 'l4']) { /* the layer's grounds below the area's text */
    const span = document.createElement('span');
    span.className = name;
    layer.append(span);
    judge(area, getComputedStyle(area).color, ground(span), `text on .${name}`);
    span.remove();
  }
  for (const row of document.querySelectorAll('.alternative:not(:disabled)')) {
    const bar = channels(/rgba?\([^)]*\)/.exec(getComputedStyle(row).backgroundImage)[0]), under = over(bar, ground(row));
    for (const part of row.children) judge(part, getComputedStyle(part).color, under, `${part.className} on a bar`);
  }
  for (const field of document.querySelectorAll('input, textarea, button')) {
    const name = field.getAttribute('aria-label') || field.labels?.[0]?.textContent || field.textContent;
    if (!name.trim() && field.getAttribute('aria-hidden') !== 'true') found.push(`${field.outerHTML.slice(0, 60)} has no name`);
  }
  for (const node of document.querySelectorAll('body *')) {
    const box = node.getBoundingClientRect();
    const scrolls = node.closest('#sheet, #chips, figure, .alternatives, .sr, .skip, table');
    const isWide = !scrolls && isSeen(node) && box.width && box.right > innerWidth + 1;
    if (isWide) found.push(`${node.tagName} ${node.id || node.className} ends at ${box.right}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
  return [...new Set(found)];
})()

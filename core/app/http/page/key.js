/* key.js - the API key: asked for, told where it is typed whether it is one of the server's, kept in memory alone. */
const lock = {isShut: false, hasNotice: false};

/* The server asks for a key, or for another one. The box is opened once: whoever closes it has seen it. */
function shut() {
  setHealth('locked', wire.key ? 'wrong API key' : 'needs an API key');
  if (byId('key').value.trim() === wire.key) tellKey(wire.key ? 'This key is not one of this server\u2019s.' : '');
  if (!lock.isShut) byId('key-box').open = true;
  lock.isShut = true;
}

/* The key is right: whether it was asked for. */
function unlock() {
  const wasShut = lock.isShut, box = byId('key-box');
  if (!wasShut) return false;
  if (lock.hasNotice) notice('');
  Object.assign(lock, {isShut: false, hasNotice: false});
  tellKey('');
  if (box.contains(document.activeElement)) paper.area.focus();
  box.open = false;
  return true;
}

function tellKey(sentence) {
  setText(byId('key-said'), sentence);
  byId('key').setAttribute('aria-invalid', sentence !== '');
}

function takeKey() {
  const key = byId('key').value.trim();
  if (key === wire.key && !lock.isShut) return;
  wire.key = key;
  readInfo();
}

/* Typed or pasted: asked once the typing rests, or at once by Enter or on leaving the field. */
const takeKeySoon = later(700, takeKey);

function keyTyped() {
  tellKey('');
  takeKeySoon();
}

/* able.js - what this model can't do is said before somebody tries: without a tokenizer, or without a language model head. */
const WRITERS = ['GPT2LMHeadModel', 'GPT2DoubleHeadsModel'];

function whyUnable({class: kind = WRITERS[0], tokenizer}) {
  const isWriter = WRITERS.includes(kind), isClassifier = kind.endsWith('Classification');
  if (isWriter && tokenizer !== false) return '';
  const why = isWriter ? 'This model has no tokenizer: it reads and writes token ids, not text'
                       : `This model (${kind}) has no language model head: it can't continue or score a text`;
  const ways = isWriter ? 'POST /v1/completions takes ids as "prompt": [1, 2, 3] and gives ids'
                        : `${isClassifier ? 'POST /classify gives labels, ' : ''}POST /v1/embeddings gives vectors`;
  const form = isWriter || tokenizer !== false ? '' : ', of token ids alone, since it has no tokenizer';
  return `${why}. Continue and Score are off. ${ways}${form}. The machine is shown below.`;
}

const canAsk = () => !wire.gone && wire.unable === '';

function showAble(info) {
  wire.unable = whyUnable(info);
  setText(byId('unable'), wire.unable);
  paper.area.placeholder = wire.unable ? '' : 'Write something, then let the model continue.';
  show(byId('tokenizer'), info.tokenizer !== false);
  byId('copy-curl').disabled = wire.unable !== '';
  showOff();
}

/* What asks the model is off while it can't answer. */
function showOff() {
  for (const row of document.querySelectorAll('.alternative')) row.ariaDisabled = !canAsk();
  showButtons();
}

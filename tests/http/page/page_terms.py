"""page_terms.py - what the tests of the page ask it, as JavaScript."""
SKIPPED = 77
TEXT, IDLE = "document.getElementById('text').value", "!document.body.classList.contains('busy')"
NOTICE = "(n => !n.hidden && n.textContent)(document.getElementById('notice'))"
AWAY = "document.getElementById('away').textContent"
READY = "document.getElementById('health').dataset.state === 'good'"

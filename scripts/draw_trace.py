#!/usr/bin/env python3
"""draw_trace.py TRACE [--run N] > picture.svg: one step of a file of --trace as a picture, for a page that has no viewer.

A band for each rank, in it a row for each thread and for its messages; arrows go from where a message was posted to where it had
arrived. The picture follows the reader's light or dark screen. Python's own library only.
"""
import argparse
import collections
import html
import json

# name: (fill, line) on white, then on black; as in core/picture/picture_style.h
COLORS = {
    "embedding": (("#f3e8fd", "#8250df"), ("#2b1d45", "#a371f7")), "norm": (("#d9f3f0", "#1b7c83"), ("#0e2f31", "#39c5cf")),
    "linear": (("#ddeeff", "#0969da"), ("#0c2744", "#58a6ff")), "attention": (("#fff0dd", "#bc4c00"), ("#3a2313", "#f0883e")),
    "rows": (("#eceff2", "#57606a"), ("#262c36", "#8b949e")), "message": (("#ffe7f0", "#bf3989"), ("#3d1628", "#f778ba")),
}
PLAIN = {"page": ("#ffffff", "#0d1117"), "text": ("#1f2328", "#e6edf3"), "faint": ("#59636e", "#9198a1"), "rule": ("#d1d9e0", "#3d444d")}
LEFT, WIDTH, ROW, GAP, TOP = 112, 820, 26, 12, 64


def family(name):
    last = name.rsplit(".", 1)[-1]
    if name.startswith(("send.", "recv.")):
        return "message"
    if name.startswith("embed"):
        return "embedding"
    if last.startswith("ln_"):
        return "norm"
    if last in ("attn", "kv_append", "crossattention"):
        return "attention"
    return "rows" if last in ("gather_rows", "copy") else "linear"


def tracks_of(events):
    """(rank, track) in the order in which they are drawn, with their names."""
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events
             if event["ph"] == "M" and event["name"] == "thread_name"}
    return dict(sorted(names.items()))


class Picture:
    def __init__(self, events, run):
        self.spans = [event for event in events if event["ph"] == "X" and event["args"]["run"] == run]
        if not self.spans:
            raise SystemExit(f"draw_trace.py: the trace has no run {run}")
        self.flows = collections.defaultdict(dict)
        for event in events:
            if event["ph"] in "sf" and event["id"].startswith(f"run {run},"):
                self.flows[event["id"]][event["ph"]] = event
        self.begin = min(event["ts"] for event in self.spans)
        self.end = max(event["ts"] + event["dur"] for event in self.spans)
        used = {(event["pid"], event["tid"]) for event in self.spans}
        self.tracks = {track: name for track, name in tracks_of(events).items() if track in used}
        self.rows = max(event["args"]["rows"] for event in self.spans)
        self.place()

    def place(self):
        self.y, y, last = {}, TOP, None
        for rank, track in self.tracks:
            y += GAP if last is not None and rank != last else 0
            self.y[rank, track], last = y, rank
            y += ROW
        self.height = y + 34

    def x(self, ts):
        return LEFT + (ts - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - 14)

    def span(self, event):
        x, y = self.x(event["ts"]), self.y[event["pid"], event["tid"]]
        width = max(self.x(event["ts"] + event["dur"]) - x, 0.8)
        kind = family(event["name"])
        text = event["name"].split(".", 2)[-1] if event["name"].startswith("h.") else event["name"]
        yield (f'<g><title>{html.escape(event["name"])}: {event["dur"]:.1f} us, {html.escape(event["args"]["kernel"])}</title>'
               f'<rect class="{kind}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" rx="{min(3, width / 2):.1f}"/>')
        if width > 5.6 * len(text) + 6:
            yield f'<text x="{x + width / 2:.1f}" y="{y + ROW / 2 + 3.5}" font-size="10" text-anchor="middle">{html.escape(text)}</text>'
        yield "</g>"

    def arrow(self, start, end):
        x, y = self.x(start["ts"]), self.y[start["pid"], start["tid"]] + ROW / 2
        to_x, to_y = self.x(end["ts"]), self.y[end["pid"], end["tid"]] + ROW / 2
        bend = max(18, (to_x - x) / 2)
        return (f'<path class="flow" d="M{x:.1f},{y}C{x + bend:.1f},{y} {to_x - bend:.1f},{to_y} {to_x - 5:.1f},{to_y}"/>'
                f'<path class="head" d="M{to_x:.1f},{to_y}l-7,-3.5v7z"/>')

    def legend(self):
        x = LEFT
        for kind in COLORS:
            yield f'<rect class="{kind}" x="{x}" y="34" width="14" height="12" rx="3"/><text x="{x + 19}" y="44" font-size="11">{kind}</text>'
            x += 32 + 6.2 * len(kind)

    def axis(self):
        span, y = self.end - self.begin, self.height - 26
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 1e5, 1e6) if span / s <= 9)
        for i in range(int(span / step) + 1):
            x = self.x(self.begin + i * step)
            yield (f'<path class="rule" d="M{x:.1f},{TOP - 6}V{y}"/>'
                   f'<text class="faint" x="{x:.1f}" y="{y + 15}" font-size="10" text-anchor="middle">{i * step:g} us</text>')

    def style(self):
        for dark in (0, 1):
            rules = [f".{kind} {{ fill: {pair[dark][0]}; stroke: {pair[dark][1]}; stroke-width: 0.8 }}" for kind, pair in COLORS.items()]
            flow = COLORS["message"][dark][1]
            rules += [f".page {{ fill: {PLAIN['page'][dark]} }} text {{ fill: {PLAIN['text'][dark]} }}",
                      f"text.faint {{ fill: {PLAIN['faint'][dark]} }} .rule {{ stroke: {PLAIN['rule'][dark]}; fill: none }}",
                      f".flow {{ stroke: {flow}; fill: none; stroke-width: 1.6 }} .head {{ fill: {flow} }}"]
            yield "\n".join(rules) if not dark else "@media (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}"

    def lines(self):
        yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" viewBox="0 0 {WIDTH} {self.height}">'
        yield "<style>\ntext { font-family: -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif }"
        yield from self.style()
        yield f'</style>\n<rect class="page" width="{WIDTH}" height="{self.height}"/>'
        ranks = len({rank for rank, _ in self.tracks})
        yield (f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">A step of {self.rows} row{"s" * (self.rows != 1)} on {ranks} '
               f'rank{"s" * (ranks != 1)}: {self.end - self.begin:.0f} us</text>')
        yield from self.legend()
        yield from self.axis()
        for (rank, track), name in self.tracks.items():
            y = self.y[rank, track] + ROW / 2 + 3.5
            first = (rank, track - 1) not in self.tracks and track < 1000
            yield f'<text class="faint" x="{LEFT - 8}" y="{y}" font-size="10" text-anchor="end">{html.escape(name)}</text>'
            if first:
                yield f'<text x="4" y="{y}" font-size="11" font-weight="600">rank {rank}</text>'
        for event in self.spans:
            yield from self.span(event)
        for flow in self.flows.values():
            if len(flow) == 2:
                yield self.arrow(flow["s"], flow["f"])
        yield "</svg>"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace")
    parser.add_argument("--run", type=int, default=2, help="which step, from 1: the prompt [2]")
    given = parser.parse_args()
    try:
        with open(given.trace, encoding="utf-8") as file:
            lines = list(Picture(json.load(file)["traceEvents"], given.run).lines())
    except OSError as error:
        parser.error(f"{given.trace}: {error.strerror}")
    except (ValueError, KeyError, TypeError) as error:
        parser.error(f"{given.trace} is no file of --trace that tfrun wrote ({error!r})")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""A model drawn: phases one below the other, in each its entries from left to right, arrows to what waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from lando.phases.layout import Box, Drawing, lay_out
from lando.phases.model import Entry, Model, Phase

_CHARACTER = 7.3
"""Width in pixels, of a monospaced font at 12 pixels."""
_LONGEST = 26
"""Characters of a name; the rest is in the box's tooltip."""
_ENTRY_HEIGHT = 40.0
_PAD = 16.0
_TITLE = 34.0
_BETWEEN = 30.0
_HEAD = 7.0
_WIDE = 5
"""Entries without dependencies in one row."""

_STYLE = """
.lando-phases text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2937; }
.lando-phases .phase { fill: #f3f4f6; stroke: #9ca3af; }
.lando-phases .title { font-weight: bold; fill: #374151; }
.lando-phases .entry { fill: #ffffff; stroke: #2563eb; }
.lando-phases .small { font-size: 11px; fill: #4b5563; }
.lando-phases .edge { fill: none; stroke: #6b7280; stroke-width: 1.3; }
.lando-phases .head { fill: #6b7280; }
.lando-phases .order { stroke: #888888; stroke-width: 3; }
.lando-phases .order-head { fill: #888888; }
@media (prefers-color-scheme: dark) {
  .lando-phases text { fill: #e5e7eb; }
  .lando-phases .phase { fill: #1f2937; stroke: #6b7280; }
  .lando-phases .title { fill: #d1d5db; }
  .lando-phases .entry { fill: #111827; stroke: #60a5fa; }
  .lando-phases .small { fill: #9ca3af; }
  .lando-phases .edge { stroke: #9ca3af; }
  .lando-phases .head { fill: #9ca3af; }
}
"""


def mermaid(model: Model) -> str:
    """A flowchart in Mermaid's language, which code forges draw."""
    lines = ["flowchart TB"]
    for phase in model.phases:
        names = {entry.name: f"p{phase.index}e{place}" for place, entry in enumerate(phase.entries)}
        lines += [f'  subgraph p{phase.index}["{_quoted(_title(phase))}"]', "    direction LR"]
        for entry in phase.entries:
            label = "<br/>".join(_quoted(row) for row in dict.fromkeys((entry.name, _below(entry))))
            lines.append(f'    {names[entry.name]}["{label}"]')
        for entry in phase.entries:
            lines += [f"    {names[before]} --> {names[entry.name]}" for before in entry.depends_on]
        lines.append("  end")
    lines += [f"  p{phase.index - 1} ==> p{phase.index}" for phase in model.phases[1:]]
    return "\n".join(lines) + "\n"


def svg(model: Model) -> str:
    """A picture that stands for itself, readable on light and dark pages."""
    drawings = [_drawing(phase) for phase in model.phases]
    width = max([240.0, *(drawing.width + 2 * _PAD for drawing in drawings)])
    parts: list[str] = []
    y = 1.0
    for phase, drawing in zip(model.phases, drawings, strict=True):
        if phase.index:
            parts.append(_phase_arrow(width / 2, y))
            y += _BETWEEN
        height = drawing.height + _TITLE + _PAD
        parts.append(f'<rect class="phase" x="1" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="8"/>')
        title = _cut(_title(phase), int((width - 2 * _PAD) / _CHARACTER))
        parts.append(
            f'<text class="title" x="{_n(_PAD + 1)}" y="{_n(y + 21)}">{escape(title)}'
            f"<title>{escape(_plain(_title(phase)))}</title></text>"
        )
        parts.append(f'<g transform="translate({_n(_PAD + 1)} {_n(y + _TITLE)})">')
        parts += [_edge(points) for points in drawing.edges]
        parts += [line for entry in phase.entries for line in _entry(entry, drawing.boxes[entry.name])]
        parts.append("</g>")
        y += height
    size = f'width="{_n(width + 2)}" height="{_n(y + 1)}" viewBox="0 0 {_n(width + 2)} {_n(y + 1)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lando-phases" role="img" {size}>',
            f"<title>{escape(_plain(model.path))}</title>",
            f"<style>{_STYLE}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _drawing(phase: Phase) -> Drawing:
    sizes = {entry.name: (_width(entry), _ENTRY_HEIGHT) for entry in phase.entries}
    return lay_out(sizes, {entry.name: entry.depends_on for entry in phase.entries}, wide=_WIDE)


def _width(entry: Entry) -> float:
    return _CHARACTER * max(len(_cut(line, _LONGEST)) for line in (entry.name, _below(entry))) + 20


def _entry(entry: Entry, box: Box) -> Iterator[str]:
    """The box of one entry; what is cut short is whole in its tooltip."""
    middle = _n(box.x + box.width / 2)
    below = _below(entry)
    yield "<g>"
    told = [entry.name, entry.job_path, *([] if below == entry.name else [below])]
    yield f"<title>{escape(_plain(chr(10).join(told)))}</title>"
    size = f'width="{_n(box.width)}" height="{_n(box.height)}"'
    yield f'<rect class="entry" x="{_n(box.x)}" y="{_n(box.y)}" {size} rx="5"/>'
    if len(entry.jobs) > 1:  # a second edge, as of a pile
        yield f'<path class="edge" d="M{_n(box.x + 5)} {_n(box.y + box.height + 3)}h{_n(box.width - 10)}"/>'
    rows = [(entry.name, ""), *([] if below == entry.name else [(below, ' class="small"')])]
    for place, (row, kind) in enumerate(rows):
        y = box.y + (17 + 15 * place if len(rows) > 1 else 24)
        yield f'<text{kind} x="{middle}" y="{_n(y)}" text-anchor="middle">{escape(_cut(row, _LONGEST))}</text>'
    yield "</g>"


def _edge(points: Sequence[tuple[float, float]]) -> str:
    """A curve that leaves and enters boxes level, with its head."""
    path = f"M{_point(points[0])}"
    for place in range(0, len(points), 2):
        (x, y), (to_x, to_y) = points[place], points[place + 1]
        last = place + 2 == len(points)
        end = to_x - (_HEAD if last else 0)
        middle = (x + end) / 2
        path += f"C{_point((middle, y))} {_point((middle, to_y))} {_point((end, to_y))}"
        if not last:
            path += f"L{_point(points[place + 2])}"
    x, y = points[-1]
    head = f"M{_point((x, y))}l{_n(-_HEAD)} {_n(-_HEAD / 2)}v{_n(_HEAD)}z"
    return f'<path class="edge" d="{path}"/><path class="head" d="{head}"/>'


def _phase_arrow(x: float, y: float) -> str:
    """From one phase to the next."""
    shaft, point = _BETWEEN - 12, _BETWEEN - 3
    return (
        f'<path class="order" d="M{_n(x)} {_n(y + 3)}V{_n(y + shaft)}"/>'
        f'<path class="order-head" d="M{_n(x)} {_n(y + point)}l-8 -10h16z"/>'
    )


def _title(phase: Phase) -> str:
    return f"phase {phase.index} · {phase.name}"


def _below(entry: Entry) -> str:
    """The name of its Job, or how many there are."""
    return entry.jobs[0].name if len(entry.jobs) == 1 else f"{len(entry.jobs)} Jobs"


def _cut(text: str, longest: int) -> str:
    text = _plain(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _plain(text: str) -> str:
    """Without characters that XML does not allow."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)


def _quoted(text: str) -> str:
    return "".join(one if one.isalnum() or one in " ·-_." else f"#{ord(one)};" for one in _plain(text))


def _point(point: tuple[float, float]) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(number: float) -> str:
    """At most one decimal."""
    return f"{number:.1f}".removesuffix(".0")

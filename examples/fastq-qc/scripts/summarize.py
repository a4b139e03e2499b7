"""Put the numbers of several files side by side: summary.tsv, summary.json and quality.svg.

usage: summarize.py TITLE MEASURES.json...
"""

import json
import sys
from xml.sax.saxutils import escape

COLORS = ("#0f6fae", "#d1495b", "#2a9d6f", "#e39b14", "#7d5ba6", "#5b6770")  # told apart by the colour-blind too
INK, SOFT, LINE, PAPER = "#1d2733", "#66727f", "#e3e8ed", "#ffffff"
WIDTH, MARGIN = 1120, 48
FEWEST = 10  # reads that a position needs to be drawn
COLUMNS = (
    ("reads", "Reads", "{:,}"),
    ("bases", "Bases", "{:,}"),
    ("mean_length", "Mean length", "{:.1f}"),
    ("longest", "Longest", "{:,}"),
    ("mean_quality", "Mean quality", "{:.1f}"),
    ("q20", "Bases ≥ Q20", "{:.1%}"),
    ("gc", "GC", "{:.1%}"),
    ("n", "N", "{:.2%}"),
)


def text(x, y, words, size=13, color=INK, anchor="start", weight="400", more=""):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
        f'font-weight="{weight}" {more}>{escape(str(words))}</text>'
    )


def ticks(low, high, wanted=6):
    """Round numbers from ``low`` to ``high``."""
    step = 1
    for step in (factor * 10**power for power in range(-3, 7) for factor in (1, 2, 5)):
        if (high - low) / step <= wanted:
            break
    first = -(-low // step) * step
    return [first + step * number for number in range(int((high - first) / step + 1e-9) + 1)]


class Panel:
    """One set of axes."""

    def __init__(self, x, y, width, height, title, label, x_range, y_range):
        self.x, self.y, self.width, self.height = x, y, width, height
        self.x_range, self.y_range = x_range, y_range
        big = bool(label)
        self.parts = [text(x - 30 * big, y - (34 if big else 12), title, 18 if big else 14, weight="600")]
        if label:
            self.parts.append(text(x - 30, y - 14, label, 13, SOFT))

    def at(self, x, y):
        (left, right), (low, high) = self.x_range, self.y_range
        return (
            self.x + (x - left) / (right - left) * self.width,
            self.y + self.height - (y - low) / (high - low) * self.height,
        )

    def band(self, low, high, color):
        _, top = self.at(0, high)
        _, bottom = self.at(0, low)
        self.parts.append(
            f'<rect x="{self.x}" y="{top:.1f}" width="{self.width}" height="{bottom - top:.1f}" fill="{color}"/>'
        )

    def axes(self, y_format="{:g}"):
        for value in ticks(*self.y_range, 5):
            _, y = self.at(0, value)
            self.parts.append(
                f'<line x1="{self.x}" x2="{self.x + self.width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>'
            )
            self.parts.append(text(self.x - 10, y + 4, y_format.format(value), 12, SOFT, "end"))
        for value in ticks(*self.x_range, 8):
            x, _ = self.at(value, 0)
            self.parts.append(text(x, self.y + self.height + 20, f"{value:g}", 12, SOFT, "middle"))
        bottom = self.y + self.height
        self.parts.append(
            f'<line x1="{self.x}" x2="{self.x + self.width}" y1="{bottom}" y2="{bottom}" stroke="{SOFT}"/>'
        )

    def line(self, points, color, fill=False):
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        if fill:
            (first, _), (last, _) = self.at(points[0][0], 0), self.at(points[-1][0], 0)
            bottom = self.y + self.height
            self.parts.append(
                f'<polygon points="{first:.1f},{bottom} {places} {last:.1f},{bottom}" '
                f'fill="{color}" fill-opacity="0.10"/>'
            )
        self.parts.append(
            f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )

    def area(self, lower, upper, color):
        places = [self.at(*point) for point in lower] + [self.at(*point) for point in reversed(upper)]
        self.parts.append(
            '<polygon points="'
            + " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            + f'" fill="{color}" fill-opacity="0.20"/>'
        )


def usual_length(measures):
    """The length that 98 % of the reads stay below: a few very long ones would squeeze all others together."""
    seen = 0
    for length, count in measures["lengths"]:
        seen += count
        if seen >= 0.98 * measures["reads"]:
            return length
    return measures["longest"]


def binned(measures):
    """About 60 bins of positions: each bin's middle, and its means of mean, lower and upper quartile."""
    width = max(sum(1 for place in measures["positions"] if place["reads"] >= FEWEST) // 60, 1)
    positions = [place for place in measures["positions"] if place["reads"] >= FEWEST] or measures["positions"]
    for start in range(0, len(positions), width):
        part = positions[start : start + width]
        if len(part) == width or start == 0:
            weight = sum(place["reads"] for place in part)
            yield (
                start + 0.5 + len(part) / 2,
                *tuple(sum(place[key] * place["reads"] for place in part) / weight for key in ("mean", "q25", "q75")),
            )


def smoothed(counts, reach):
    """Each count as the triangle-weighted mean of its neighbourhood."""
    result = []
    for middle in range(len(counts)):
        near = [
            (counts[i], reach + 1 - abs(i - middle))
            for i in range(max(middle - reach, 0), min(middle + reach + 1, len(counts)))
        ]
        result.append(sum(count * weight for count, weight in near) / sum(weight for _, weight in near))
    return result


def table(files, y):
    """The numbers, each file with the colour that it has in the plots; where the next thing may begin."""
    right = [WIDTH - MARGIN - 100 * number for number in reversed(range(len(COLUMNS)))]
    parts = [text(x, y, title, 12, SOFT, "end") for x, (_, title, _) in zip(right, COLUMNS, strict=False)]
    parts.append(text(MARGIN, y, "File", 12, SOFT))
    for number, file in enumerate(files):
        row = y + 26 * (number + 1)
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{row - 17}" y2="{row - 17}" stroke="{LINE}"/>'
            f'<rect x="{MARGIN}" y="{row - 10}" width="12" height="12" rx="3" fill="{COLORS[number % len(COLORS)]}"/>'
        )
        parts.append(text(MARGIN + 22, row, file["file"], 13, weight="600"))
        for x, (key, _, shape) in zip(right, COLUMNS, strict=False):
            parts.append(
                text(x, row, shape.format(file[key]), 13, anchor="end", more='font-variant-numeric="tabular-nums"')
            )
    return parts, y + 26 * (len(files) + 1)


def plot(title, files):
    """The whole figure as SVG."""
    parts, y = table(files, 112)
    half = (WIDTH - 2 * MARGIN - 80) / 2
    left, right = MARGIN + 30, MARGIN + 30 + half + 50
    y += 40
    parts.append(text(MARGIN, y, "Quality along the reads", 18, weight="600"))
    parts.append(
        text(MARGIN, y + 20, "Phred score by position: mean, and the range of the middle half of all bases", 13, SOFT)
    )
    y += 78
    lines = [list(binned(file)) for file in files]
    top = max(40, max(point[3] for points in lines for point in points) + 2)
    for number, (file, points) in enumerate(zip(files, lines, strict=True)):
        place = left if number % 2 == 0 else right
        panel = Panel(place, y + number // 2 * 235, half, 150, file["file"], "", (0, points[-1][0]), (0, top))
        panel.band(28, top, "#eff8f3")
        panel.band(20, 28, "#fdf8ea")
        panel.band(0, 20, "#fcf1f1")
        panel.axes()
        color = COLORS[number % len(COLORS)]
        panel.area([(p[0], p[2]) for p in points], [(p[0], p[3]) for p in points], color)
        panel.line([(p[0], p[1]) for p in points], color)
        parts += panel.parts

    y += (len(files) + 1) // 2 * 235 + 30
    longest = max(usual_length(file) for file in files)
    step = max(longest // 40, 1)
    shares = []
    for file in files:
        counts = [0.0] * (longest // step + 1)
        for length, count in file["lengths"]:
            if length // step < len(counts):
                counts[length // step] += 100 * count / file["reads"]
        shares.append([((number + 0.5) * step, share) for number, share in enumerate(counts)])
    limit = max(share for points in shares for _, share in points) * 1.08
    label = "% of the reads, by length in bases" + (f" (in steps of {step})" if step > 1 else "")
    length = Panel(left, y, half, 190, "Length of the reads", label, (0, shares[0][-1][0]), (0, limit))
    length.axes("{:g} %")
    gcs = [list(enumerate(smoothed([100 * n / file["reads"] for n in file["gc_of_reads"]], 3))) for file in files]
    limit = max(share for points in gcs for _, share in points) * 1.08
    label = "% of the reads, by % of their bases that are G or C (smoothed)"
    gc = Panel(right, y, half, 190, "GC content of the reads", label, (0, 100), (0, limit))
    gc.axes("{:g} %")
    for number in range(len(files)):
        color = COLORS[number % len(COLORS)]
        length.line(shares[number], color, fill=True)
        gc.line(gcs[number], color, fill=True)

    height = y + 190 + 56
    total, bases = sum(file["reads"] for file in files), sum(file["bases"] for file in files)
    head = [
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        text(MARGIN, 52, title, 25, weight="700"),
        text(MARGIN, 78, f"{total:,} reads with {bases:,} bases in {len(files)} files", 14, SOFT),
    ]
    body = head + parts + length.parts + gc.parts
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif" role="img">\n'
        f"<title>{escape(title)}</title>\n" + "\n".join(body) + "\n</svg>\n"
    )


def main(title, paths):
    files = []
    for path in paths:
        with open(path, encoding="utf-8") as measures:
            files.append(json.load(measures))
    files.sort(key=lambda file: file["file"])
    keys = ["reads", "bases", "mean_length", "longest", "mean_quality", "q20", "q30", "gc", "n"]
    with open("summary.tsv", "w", encoding="utf-8") as out:
        out.write("\t".join(["file", *keys]) + "\n")
        for file in files:
            out.write("\t".join([file["file"], *(f"{file[key]:.4f}".rstrip("0").rstrip(".") for key in keys)]) + "\n")
    with open("summary.json", "w", encoding="utf-8") as out:
        json.dump(
            {"title": title, "files": [{key: file[key] for key in ["file", *keys]} for file in files]}, out, indent=1
        )
    with open("quality.svg", "w", encoding="utf-8") as out:
        out.write(plot(title, files))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])

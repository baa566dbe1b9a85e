#!/usr/bin/env -S python3 -B
"""Draws what `make soak` has sampled: memory and requests over time, as an SVG for light and dark pages.

    tests/soak/plot.py SERIES PICTURE

SERIES is its series.csv.
"""

import csv
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "bench"))
import plot  # noqa: E402

WIDTH, HEIGHT, LEFT, TOP = 840, 170, 70, 34
QUIET = ' class="quiet" text-anchor="end"'


def line(times, values, top):
    """A panel's points, the highest value at its top, the last time at its right."""
    points = (
        f"{LEFT + (WIDTH - LEFT - 10) * at / times[-1]:.1f},{top + HEIGHT * (1 - value / max(values)):.1f}"
        for at, value in zip(times, values)
    )
    return f'<polyline points="{" ".join(points)}" fill="none" stroke-width="1.5" class="line"/>'


def panel(title, times, values, shown, top):
    bottom = top + HEIGHT
    return [
        plot.text(LEFT, top - 12, "currentColor", title, ' class="text" font-weight="600"'),
        plot.text(LEFT - 8, top + 4, "currentColor", shown, QUIET),
        plot.text(LEFT - 8, bottom + 4, "currentColor", "0", QUIET),
        f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - 10}" fill="none" class="axis"/>',
        plot.text(WIDTH - 10, bottom + 16, "currentColor", f"{times[-1] / 60:.1f} min", QUIET),
        line(times, values, top),
    ]


def style(theme):
    parts = {".text{fill": "text", ".quiet{fill": "quiet", ".axis{stroke": "line", ".line{stroke": "ours"}
    return "".join(f"{part}:{theme[colour]}}}" for part, colour in parts.items())


def main():
    rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8")))
    times, memory, requests = ([float(row[key]) for row in rows] for key in ("seconds", "rss_kb", "requests"))
    second = TOP + HEIGHT + 60
    parts = panel("Memory (RSS), kB", times, memory, f"{max(memory):,.0f}", TOP)
    parts += panel("Requests answered, millions", times, requests, f"{max(requests) / 1e6:.1f}", second)
    said = f"make soak: {max(requests):,.0f} requests in {times[-1]:.0f} s"
    pathlib.Path(sys.argv[2]).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {second + HEIGHT + 26}" width="{WIDTH}" role="img"'
        f' font-family="{plot.FONT}" font-size="12"><title>{said}</title><style>{style(plot.THEMES["light"])}'
        f'@media (prefers-color-scheme:dark){{{style(plot.THEMES["dark"])}}}</style>\n' + "\n".join(parts) + "\n</svg>\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()

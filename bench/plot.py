"""Draws the medians of `make bench` as bars, one panel a figure, as an SVG of a light or a dark page."""

import html

THEMES = {
    "light": {"text": "#1f2328", "quiet": "#59636e", "bar": "#afb8c1", "ours": "#0969da", "line": "#d1d9e0"},
    "dark": {"text": "#f0f6fc", "quiet": "#9198a1", "bar": "#656c76", "ours": "#4493f8", "line": "#3d444d"},
}
WIDTH, MARGIN, GAP = 840, 8, 32
ROW, BAR, HEAD = 24, 14, 46
NAME, VALUE = 122, 62  # what names and values take of a panel
FONT = "-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"


def number(value):
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def text(x, y, colour, said, more=""):
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{more}>{html.escape(said)}</text>'


def bar(x, y, name, share, value, colours):
    """A row: the name, a bar of that share of the longest, the value."""
    ours = name == "versiond"
    weight = ' font-weight="600"' if ours else ""
    colour = colours["text"] if ours else colours["quiet"]
    length = max(1, share * (panel_width() - NAME - VALUE))
    middle = y + BAR / 2 + 4.5
    return [
        text(x + NAME - 8, middle, colour, name, f' text-anchor="end"{weight}'),
        f'<rect x="{x + NAME:g}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2"'
        f' fill="{colours["ours" if ours else "bar"]}"/>',
        text(x + NAME + length + 6, middle, colour, value, weight),
    ]


def panel_width():
    return (WIDTH - 2 * MARGIN - GAP) / 2


def panel(x, y, title, better, values, colours):
    """values: of each server; the best is at the top."""
    parts = [
        text(x, y + 16, colours["text"], title, ' font-size="14" font-weight="600"'),
        text(x + panel_width(), y + 16, colours["quiet"], f"{better} is better", ' text-anchor="end"'),
        f'<path d="M{x:g} {y + 26:g}h{panel_width():g}" stroke="{colours["line"]}"/>',
    ]
    longest = max(values.values())
    order = sorted(values, key=values.get, reverse=better == "more")
    for row, name in enumerate(order):
        parts += bar(x, y + HEAD - 10 + row * ROW, name, values[name] / longest, number(values[name]), colours)
    return parts


def picture(medians, connections, theme):
    """medians: of each server cpu (µs), rate (requests per second), start (ms) and memory (kB)."""
    colours = THEMES[theme]
    panels = [
        ("CPU per request, µs", "less", "cpu", 1),
        (f"Requests per second, {connections} connections", "more", "rate", 1),
        ("Idle memory, MB", "less", "memory", 1000),
        ("Start to first response, ms", "less", "start", 1),
    ]
    height = HEAD + len(medians) * ROW
    parts = []
    for index, (title, better, key, unit) in enumerate(panels):
        x = MARGIN + index % 2 * (panel_width() + GAP)
        y = MARGIN + index // 2 * (height + 12)
        values = {name: figures[key] / unit for name, figures in medians.items()}
        parts += panel(x, y, title, better, values, colours)
    said = "versiond and its peers, {} connections: {}".format(
        connections,
        "; ".join(f"{name}: {number(figures['cpu'])} µs of CPU per request" for name, figures in medians.items()),
    )
    total = 2 * MARGIN + 2 * height + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}"'
            f' role="img" font-family="{FONT}" font-size="12">',
            f"<title>{html.escape(said)}</title>",
            *parts,
            "</svg>\n",
        ]
    )

#!/usr/bin/env -S python3 -B
"""What the rounds of `make bench` say: medians, ratios, targets, as Markdown. And the page in docs/ that has them.

    bench/report.py DOCS BENCH       writes the figures of the folder BENCH into the folder DOCS
    bench/report.py DOCS --check     whether the figures in DOCS are those of its rounds

In DOCS are bench.json (every round), performance.md with the tables between two lines, bench-light.svg and bench-dark.svg.
Exit status: 0; 1 with a line on stderr when it failed, or DOCS differs.
"""

import json
import pathlib
import statistics
import sys

import plot

BEGIN = "<!-- figures: made by make bench-docs -->"
END = "<!-- /figures -->"
QUIET = 0.1  # CPUs that may go elsewhere


class Figures:
    """The rounds of each server. Values are by a path of keys, such as "load", "32", "cpu_us"."""

    def __init__(self, data):
        self.data = data
        self.names = [server["name"] for server in data["servers"]]

    def rows(self, name):
        return [row for row in self.data["rounds"] if row["server"] == name]

    def values(self, name, *path):
        """One a round; a list of values in a round is one by its median. None when a round has none."""
        found = []
        for row in self.rows(name):
            value = row
            for key in path:
                value = value[key]
            found.append(statistics.median(value) if isinstance(value, list) else value)
        return None if None in found else found

    def median(self, name, *path):
        values = self.values(name, *path)
        return None if values is None else statistics.median(values)

    def ratio(self, name, other, *path):
        """The median of the ratios of each round. None when there is no such other."""
        if name not in self.names or other not in self.names:
            return None
        pairs = zip(self.values(name, *path), self.values(other, *path))
        return statistics.median(a / b for a, b in pairs)

    def per_connection(self, name):
        """kB that each idle connection adds. None when the server keeps none."""
        connected = self.values(name, "connected_kb")
        if connected is None:
            return None
        added = [b - a for a, b in zip(self.values(name, "idle_kb"), connected)]
        return statistics.median(added) / self.data["settings"]["idle_connections"]


def spoken(value, digits):
    """A number with so many digits after the point, thousands apart."""
    return "–" if value is None else f"{value:,.{digits}f}"


def digits_of(value):
    """Three digits are enough."""
    return 2 if value < 10 else 1 if value < 100 else 0


def number(value):
    return "–" if value is None else spoken(value, digits_of(value))


def spread(values):
    """The median, and of several the least and the greatest."""
    if values is None:
        return "–"
    middle = statistics.median(values)
    if len(values) == 1:
        return number(middle)
    digits = digits_of(middle)
    return f"{spoken(middle, digits)} ({spoken(min(values), digits)}–{spoken(max(values), digits)})"


def table(titles, rows):
    """The first column is text, the others are numbers."""
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def shown(name):
    return f"**{name}**" if name == "versiond" else name


def with_missing(figures, rows, columns):
    """Peers that were not measured are said to be so, where their figures would be."""
    for name, why in figures.data["missing"].items():
        rows.append([name, f"not measured: {why}"] + [""] * (columns - 2))
    return rows


def load_table(figures, connections):
    titles = ["Server", "CPU µs per request", "× floor", "× nginx", "requests per second"]
    titles += ["p50 µs", "p99 µs"]
    rows = []
    for name in figures.names:
        load = ("load", str(connections))
        rows.append(
            [
                shown(name),
                spread(figures.values(name, *load, "cpu_us")),
                number(figures.ratio(name, "floor", *load, "cpu_us")),
                number(figures.ratio(name, "nginx", *load, "cpu_us")),
                spread(figures.values(name, *load, "requests_per_s")),
            ]
            + [spoken(figures.median(name, *load, key), 0) for key in ("p50_us", "p99_us")]
        )
    return table(titles, with_missing(figures, rows, len(titles)))


def start_ms(figures, name):
    return [value / 1000 for value in figures.values(name, "start_us")]


def size_of(figures, name):
    return next(server["bytes"] for server in figures.data["servers"] if server["name"] == name) / 1000


def rest_table(figures):
    idle = figures.data["settings"]["idle_connections"]
    titles = ["Server", "start ms", "idle kB", f"{idle:,} connections kB", "kB per connection", "on disk kB"]
    rows = [
        [
            shown(name),
            spread(start_ms(figures, name)),
            spoken(figures.median(name, "idle_kb"), 0),
            spoken(figures.median(name, "connected_kb"), 0),
            number(figures.per_connection(name)),
            spoken(size_of(figures, name), 0),
        ]
        for name in figures.names
    ]
    return table(titles, with_missing(figures, rows, len(titles)))


def targets(figures):
    """Each: what, the value, whether it is at most or at least, the bound."""
    load = ("load", str(figures.data["settings"]["connections"][0]))

    def cpu(other):
        return figures.ratio("versiond", other, *load, "cpu_us")

    def rate(other):
        return figures.ratio("versiond", other, *load, "requests_per_s")

    return [
        ("CPU per request, relative to the floor", cpu("floor"), "at most", 1.10),
        ("CPU per request, relative to nginx", cpu("nginx"), "at most", 1.00),
        ("requests per second, relative to nginx", rate("nginx"), "at least", 1.00),
        ("requests per second, relative to Go net/http", rate("Go net/http"), "at least", 1.5),
        ("requests per second, relative to gunicorn", rate("gunicorn"), "at least", 10),
        ("requests per second, relative to Flask's own server", rate("Flask's own server"), "at least", 40),
        ("start, ms", statistics.median(start_ms(figures, "versiond")), "at most", 1.5),
        ("idle memory, kB", figures.median("versiond", "idle_kb"), "at most", 500),
        ("memory per idle connection, kB", figures.per_connection("versiond"), "at most", 12),
    ]


def verdict(value, kind, bound):
    if value is None:
        return "not measured"
    return "met" if (value <= bound if kind == "at most" else value >= bound) else "missed"


def targets_table(goals):
    rows = [
        [what, f"{kind} {bound:g}", number(value), verdict(value, kind, bound)] for what, value, kind, bound in goals
    ]
    return table(["Target", "Bound", "Measured", "Verdict"], rows)


def servers_table(figures):
    rows = [f"| {shown(s['name'])} | {s['version']} | {s['configuration']} |" for s in figures.data["servers"]]
    return "\n".join(["| Server | Version | Configuration |", "| --- | --- | --- |"] + rows)


def conditions(figures):
    machine, options = figures.data["machine"], figures.data["settings"]
    return (
        f"{figures.data['date']}: {machine['cpus']} CPUs ({machine['cpu']}), Linux {machine['kernel']}, "
        f"{machine['system']}; {options['threads']} threads or processes each; {options['duration_s']} s "
        f"per load. Medians of {options['rounds']} rounds, lowest and highest in brackets."
    )


def noise(others):
    """How much CPU went elsewhere during the loads: a machine that has other things to do measures badly."""
    middle = statistics.median(others)
    said = f"Meanwhile all other programs used {middle:.2f} CPUs (median; at most {max(others):.2f})."
    return said if middle <= QUIET else said + " **That is too much for reliable figures.**"


def markdown(data):
    figures = Figures(data)
    others = [load["others_cpu"] for row in data["rounds"] for load in row["load"].values()]
    parts = [conditions(figures), noise(others), targets_table(targets(figures))]
    for connections in data["settings"]["connections"]:
        keep = "connection" if connections == 1 else "connections"
        parts += [f"{connections} {keep}:", load_table(figures, connections)]
    parts += ["Start, memory, size:", rest_table(figures), "Versions and configuration:", servers_table(figures)]
    return "\n\n".join(parts)


def as_json(data):
    """A line for each round and server, so that it can be read and compared."""
    head = {key: value for key, value in data.items() if key != "rounds"}
    rounds = ",\n".join("  " + json.dumps(row) for row in data["rounds"])
    return json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "rounds": [\n' + rounds + "\n ]\n}\n"


def pictures(data):
    figures = Figures(data)
    connections = str(data["settings"]["connections"][0])
    medians = {
        name: {
            "cpu": figures.median(name, "load", connections, "cpu_us"),
            "rate": figures.median(name, "load", connections, "requests_per_s"),
            "start": statistics.median(start_ms(figures, name)),
            "memory": figures.median(name, "idle_kb"),
        }
        for name in figures.names
    }
    return {f"bench-{theme}.svg": plot.picture(medians, connections, theme) for theme in plot.THEMES}


def write(data, folder):
    folder = pathlib.Path(folder)
    for name, text in pictures(data).items() | {"bench.json": as_json(data), "bench.md": markdown(data) + "\n"}.items():
        (folder / name).write_text(text)


def page(text, figures):
    """The page with these figures between its two lines, which must be there once."""
    before, begin, rest = text.partition(BEGIN + "\n")
    _, end, after = rest.partition(END + "\n")
    if not begin or not end or BEGIN in after or END in after:
        sys.exit(f"report: performance.md needs a line '{BEGIN}' and, after it, a line '{END}', once each")
    return f"{before}{begin}\n{figures}\n\n{end}{after}"


def documents(docs, data):
    """What is to be in docs, by name."""
    text = page((docs / "performance.md").read_text(), markdown(data))
    return pictures(data) | {"bench.json": as_json(data), "performance.md": text}


def main():
    docs = pathlib.Path(sys.argv[1])
    check = sys.argv[2] == "--check"
    rounds = (docs if check else pathlib.Path(sys.argv[2])) / "bench.json"
    if not rounds.is_file():
        sys.exit(f"report: {rounds}: no such file; run 'make bench'")
    for name, text in documents(docs, json.loads(rounds.read_text())).items():
        if not check:
            (docs / name).write_text(text)
        elif (docs / name).read_text() != text:
            sys.exit(f"report: {docs / name} is not what its rounds say; run 'make bench bench-docs'")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Checks in rendered manifests what no tool can know: that they are right for this program.

    scripts/check-manifests.py FOLDER

FOLDER has them, NAME.yaml each; the one called base needs no namespace and no digest. Run it from the root of the
project. Prints a line for each fault. Exit status: 0; 1 when there are faults.
"""
import json
import re
import sys
from pathlib import Path

import yaml

# What an image is deployed by: no tag, as that can become another one.
NAME_ALONE = re.compile(r"[^@:/]+")
BY_DIGEST = re.compile(r"([^@:/]+(:[0-9]+)?/)?[^@:]+@sha256:[0-9a-f]{64}")
# What is for the cluster, and for nobody outside.
INTERNAL = {"/metrics", "/healthz", "/readyz"}
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def read_paths():
    """The statuses that each path answers, as the program says."""
    described = json.loads(Path("src/openapi.json").read_text())
    return {path: set(item["get"]["responses"]) for path, item in described["paths"].items()}


def read_settings():
    """The default of each variable, from the table that make lint compares with the program."""
    rows = re.findall(r"^\| `-.*?\| `([A-Z_]+)` \| `?(.*?)`? \|", Path("README.md").read_text(), re.M)
    return dict(rows)


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()
    return int(number) * SECONDS[unit]


def check_image(container, is_base):
    wanted = NAME_ALONE if is_base else BY_DIGEST
    if not wanted.fullmatch(container["image"]):
        yield f"image: {container['image']} is not {'a name alone' if is_base else 'NAME@sha256:…'}"


def check_settings(pod, given, settings):
    for name in given.keys() - settings.keys():
        yield f"env: {name} is no setting of the program"
    stop = sum(seconds(given.get(name, settings[name])) for name in ("DRAIN_DELAY", "SHUTDOWN_TIMEOUT"))
    if stop >= pod["terminationGracePeriodSeconds"]:
        yield f"a stop may take {stop:g} s, and is killed after {pod['terminationGracePeriodSeconds']} s"


def check_probes(container, paths, ports):
    """A stop must not look like a fault to what restarts the program, but must to what sends requests."""
    for probe, drains in (("startupProbe", False), ("livenessProbe", False), ("readinessProbe", True)):
        get = container[probe]["httpGet"]
        if get["port"] not in ports:
            yield f"{probe}: no port {get['port']}"
        if get["path"] not in paths:
            yield f"{probe}: the program has no {get['path']}"
        elif ("503" in paths[get["path"]]) != drains:
            yield f"{probe}: {get['path']} answers 503 while it drains: {not drains}, expected: {drains}"


def check_annotations(annotations, paths, ports):
    if annotations.get("prometheus.io/scrape") == "true":
        if annotations["prometheus.io/path"] not in paths or int(annotations["prometheus.io/port"]) not in ports.values():
            yield "annotations: Prometheus is sent elsewhere"


def check_deployment(deployment, is_base, paths, settings):
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    yield from check_image(container, is_base)
    yield from check_settings(template["spec"], given, settings)
    yield from check_probes(container, paths, ports)
    yield from check_annotations(template["metadata"].get("annotations", {}), paths, ports)
    if list(ports.values()) != [int(given.get("PORT", settings["PORT"]))]:
        yield f"ports: {ports} is not what the program listens on"


def public_paths(item):
    """How and what an Ingress or HTTPRoute hands on."""
    for rule in item["spec"]["rules"]:
        for path in rule.get("http", {}).get("paths", []):
            yield path["pathType"], path["path"]
        for match in rule.get("matches", []) if "backendRefs" in rule else []:
            yield match["path"]["type"], match["path"]["value"]
        if "backendRefs" in rule and not rule.get("matches"):
            yield "Prefix", "/"


def check_one(item, ports, paths):
    spec = item.get("spec", {})
    if item["kind"] == "NetworkPolicy":
        allowed = {port["port"] for rule in spec["ingress"] for port in rule.get("ports", [{"port": None}])}
        if allowed != set(ports.values()):
            yield f"lets {allowed} through, the program has {set(ports.values())}"
    if item["kind"] == "Service":
        yield from (f"no port {port['targetPort']}" for port in spec["ports"] if port["targetPort"] not in ports)
    if item["kind"] == "ServiceMonitor":
        yield from (f"the program has no {end['path']}" for end in spec["endpoints"] if end["path"] not in paths)
    if item["kind"] in ("Ingress", "HTTPRoute"):
        for how, path in public_paths(item):
            if how != "Exact" or path in INTERNAL or path not in paths:
                yield f"{how} {path} is not one of the paths that are public"


def check(items, is_base, paths, settings):
    (deployment,) = (item for item in items if item["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    namespaces = [item["metadata"]["name"] for item in items if item["kind"] == "Namespace"] or [None]
    for item in items:
        name = f"{item['kind']} {item['metadata']['name']}"
        for fault in check_one(item, ports, paths):
            yield f"{name}: {fault}"
        if item["kind"] != "Namespace" and [item["metadata"].get("namespace")] != namespaces:
            yield f"{name}: not in the namespace {namespaces}"
    for fault in check_deployment(deployment, is_base, paths, settings):
        yield f"Deployment {deployment['metadata']['name']}: {fault}"
    if not is_base and namespaces == [None]:
        yield "no namespace"


def main():
    paths, settings = read_paths(), read_settings()
    faults = 0
    for file in sorted(Path(sys.argv[1]).glob("*.yaml")):
        for fault in check(list(yaml.safe_load_all(file.read_text())), file.stem == "base", paths, settings):
            print(f"{file.stem}: {fault}")
            faults += 1
    sys.exit(faults > 0)


main()

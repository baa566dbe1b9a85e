#!/usr/bin/env python3
"""A kubectl for tests/e2e/deploy.sh. The cluster is the folder FAKE_CLUSTER; KUBECTL is the real kubectl, for `kustomize`.

objects.json holds the Deployment, ReplicaSets and Leases of each namespace, applied.yaml the last manifests. A test writes two
files: images, with lines "DIGEST VERSION COMMIT", and faults, with lines "NAME VERSION":
    refused    the server rejects the manifests
    not-ready  the rollout fails
    hang       the rollout never ends; the file `hangs` exists meanwhile
    wrong      one replica responds as another version
    missing    the Service has only one of the two replicas
"""

import http.server
import json
import os
import re
import signal
import sys
from pathlib import Path

FOLDER = Path(os.environ["FAKE_CLUSTER"])
OBJECTS = FOLDER / "objects.json"
FLAGS = ("ignore-not-found", "server-side", "force-conflicts", "overwrite")


def lines(name):
    return [line.split() for line in (FOLDER / name).read_text().splitlines()] if (FOLDER / name).exists() else []


def release(image):
    return next(line[1:] for line in lines("images") if line[0] == image.partition("@")[2])


def has_fault(name, image):
    return [name, release(image)[0]] in lines("faults")


def pod_spec(image):
    return {"spec": {"containers": [{"name": "other", "image": "x"}, {"name": "versiond", "image": image}]}}


def items(here):
    """The Deployment, its two pods and the EndpointSlice of the Service."""
    deployment = here["deployment"]
    if not deployment:
        return []
    pods = [{"kind": "Pod", "metadata": {"name": f"versiond-{i}"}, **pod_spec(here["image"]), "status": {}} for i in range(2)]
    ready = pods[has_fault("missing", here["image"]):]
    endpoints = [{"addresses": ["10.0.0.1"], "targetRef": {"name": pod["metadata"]["name"]}} for pod in ready]
    endpoint_slice = {"kind": "EndpointSlice", "metadata": {"labels": {"kubernetes.io/service-name": "versiond"}},
                      "ports": [{"name": "http", "port": 5000}], "endpoints": endpoints}
    return [deployment, *pods, endpoint_slice]


def copy_annotations(here):
    """As the controller does: to the ReplicaSet of the current image."""
    made = f"2026-01-01T00:00:{len(here['replicasets']):02}Z"
    replicaset = here["replicasets"].setdefault(here["image"], {
        "metadata": {"creationTimestamp": made, "annotations": {}}, "spec": {"template": pod_spec(here["image"])}})
    replicaset["metadata"]["annotations"].update(here["deployment"]["metadata"]["annotations"])


def get(here, words, options):
    kind = words[0]
    if kind == "lease":
        lease = here["leases"].get(words[1])
        return json.dumps(lease) if options["output"] == "json" else lease and lease["spec"]["holderIdentity"]
    if kind == "deployment":
        return json.dumps(here["deployment"]) if options["output"] == "json" and here["deployment"] else None
    found = list(here["replicasets"].values()) if kind == "replicasets" else items(here)
    return json.dumps({"items": found}) if options.get("output") == "json" else kind


def apply(here, words, options):
    text = Path(options["filename"]).read_text()
    image = re.search(r"^ *(?:- )?image: (\S+@\S+)$", text, re.MULTILINE)[1]
    if has_fault("refused", image):
        sys.exit('error: Deployment.apps "versiond" is invalid')
    if "dry-run" in options:
        return
    (FOLDER / "applied.yaml").write_text(text)
    here["image"] = image
    here["deployment"] = here["deployment"] or {"kind": "Deployment", "metadata": {"name": "versiond", "annotations": {}}}
    here["deployment"]["spec"] = {"replicas": 2, "template": pod_spec(image)}
    here["deployment"]["status"] = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    copy_annotations(here)


def annotate(here, words, options):
    here["deployment"]["metadata"]["annotations"].update(word.split("=", 1) for word in words[2:])
    copy_annotations(here)


def rollout(here, words, options):
    if has_fault("hang", here["image"]):
        (FOLDER / "hangs").touch()
        signal.pause()
    if has_fault("not-ready", here["image"]):
        sys.exit('error: deployment "versiond" exceeded its progress deadline')


def create(here, words, options):
    lease = json.load(sys.stdin)
    if lease["metadata"]["name"] in here["leases"]:
        sys.exit("error: the lease already exists")
    here["leases"][lease["metadata"]["name"]] = lease


def replace(here, words, options):
    here["leases"]["versiond-deploy"] = json.load(sys.stdin)


def delete(here, words, options):
    del here["leases"][words[1]]


def port_forward(here, words, options):
    version, commit = release(here["image"])
    if words[0] == "versiond-1" and has_fault("wrong", here["image"]):
        version = "9.9.9"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"version": version, "commit": commit}).encode())

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(f"Forwarding from 127.0.0.1:{server.server_port} -> 5000", flush=True)
    server.serve_forever()


VERBS = {"get": get, "apply": apply, "annotate": annotate, "rollout": rollout, "create": create, "replace": replace,
         "delete": delete, "port-forward": port_forward}


def main():
    words, options, arguments = [], {}, sys.argv[1:]
    if arguments[0] == "kustomize":
        os.execv(os.environ["KUBECTL"], ["kubectl", *arguments])
    while arguments:
        word = arguments.pop(0)
        name, has_value, value = word[2:].partition("=")
        if not word.startswith("--"):
            words.append(word)
        else:
            options[name] = value if has_value or name in FLAGS else arguments.pop(0)
    objects = json.loads(OBJECTS.read_text()) if OBJECTS.exists() else {}
    here = objects.setdefault(options["namespace"], {"deployment": None, "image": None, "replicasets": {}, "leases": {}})
    output = VERBS[words[0]](here, words[1:], options)
    if output:
        print(output)
    if words[0] not in ("get", "rollout", "port-forward"):
        OBJECTS.write_text(json.dumps(objects))


main()

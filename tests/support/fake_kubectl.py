#!/usr/bin/env python3
"""kubectl for the tests of scripts/deploy, against a cluster that is a folder: what it is asked is answered as a cluster would.

    FAKE_CLUSTER=FOLDER KUBECTL=/usr/bin/kubectl tests/support/fake_kubectl.py ARGUMENT...

The real kubectl (KUBECTL) renders, and shows its configuration. Of a namespace there are one Deployment, its ReplicaSets, pods and EndpointSlice, and
Leases; FOLDER/objects.json keeps them, FOLDER/applied.yaml what was applied last (administrator.yaml: what was, in the
client's way), FOLDER/calls a line for each call. What a
test writes there:
    images   a line for each image: digest version commit, which its pods answer
    faults   a line for each fault: NAME VERSION, what goes wrong with that release
        dry-run    the server refuses the manifests; nothing is changed
        apply      it refuses them after it has taken some
        not-ready  its pods never get ready: the rollout fails
        hang       the rollout waits until it is ended (FOLDER/hangs is there meanwhile)
        wrong      the second of its replicas answers as another version
        deaf       the second of its replicas cannot be reached
        linger     the Service goes on sending requests to a pod of the image before
        missing    the Service does not send requests to its last pod
        none       the Deployment wants no replica
        down       with any VERSION: nothing is answered at all
"""

import datetime
import fcntl
import json
import os
import re
import signal
import sys

CLUSTER = os.environ["FAKE_CLUSTER"]
REPLICAS = 2


def path(name):
    return os.path.join(CLUSTER, name)


def lines(name):
    if not os.path.exists(path(name)):
        return []
    with open(path(name), encoding="utf-8") as file:
        return [line.split() for line in file]


def fault(name, image=None):
    answers = dict((digest, version) for digest, version, _ in lines("images"))
    return [name, answers.get((image or "").partition("@")[2], "any")] in lines("faults")


def fail(message):
    sys.exit(f"error: {message}")


def not_found(kind, name):
    sys.exit(f'Error from server (NotFound): {kind} "{name}" not found')


class Cluster:
    """The objects; what is changed within `with` is kept, and one call at a time changes them."""

    def __enter__(self):
        self.lock = open(path("lock"), "w", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.all = {"clock": 0}
        if os.path.exists(path("objects.json")):
            with open(path("objects.json"), encoding="utf-8") as file:
                self.all = json.load(file)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            with open(path("objects.json"), "w", encoding="utf-8") as file:
                json.dump(self.all, file, indent=1)
        self.lock.close()

    def of(self, namespace):
        empty = {"deployment": None, "replicasets": [], "pods": [], "leases": {}}
        return self.all.setdefault(namespace, empty)

    def now(self):
        self.all["clock"] += 1
        return (datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=self.all["clock"])).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(image):
    return {"spec": {"containers": [{"name": "other", "image": "x"}, {"name": "versiond", "image": image}]}}


def change(cluster, namespace, image, annotations):
    """What the controllers of a cluster make of a Deployment with that image."""
    here = cluster.of(namespace)
    deployment = here["deployment"] or {
        "kind": "Deployment", "metadata": {"name": "versiond", "generation": 0, "annotations": {}}, "spec": {}}
    deployment["metadata"]["annotations"].update(annotations)
    deployment["metadata"]["generation"] += 1
    deployment["spec"] = {"replicas": REPLICAS, "progressDeadlineSeconds": 180, "template": container(image)}
    here["deployment"] = deployment
    copy_annotations(cluster, here, image)
    ready = not fault("not-ready", image)
    if ready:
        here["before"] = [pod for pod in here["pods"] if pod["image"] != image] or here.get("before", [])
        name = image[-4:]
        here["pods"] = [{"name": f"versiond-{name}-{i}", "image": image, "ready": True} for i in range(REPLICAS)]
    else:
        here["pods"] = [pod for pod in here["pods"] if pod["ready"]]
        here["pods"].append({"name": "versiond-new-0", "image": image, "ready": False})
    if fault("none", image):
        deployment["spec"]["replicas"] = 0
        here["pods"] = []
    updated = sum(pod["image"] == image for pod in here["pods"])
    deployment["status"] = {
        "observedGeneration": deployment["metadata"]["generation"], "replicas": len(here["pods"]),
        "updatedReplicas": updated, "readyReplicas": sum(pod["ready"] for pod in here["pods"])}


def copy_annotations(cluster, here, image):
    """As the controller: to the ReplicaSet of the image that the Deployment asks for, whatever they say."""
    for replicaset in here["replicasets"]:
        if replicaset["spec"]["template"] == container(image):
            break
    else:
        replicaset = {"kind": "ReplicaSet", "metadata": {"creationTimestamp": cluster.now(), "annotations": {}},
                      "spec": {"template": container(image)}}
        here["replicasets"].append(replicaset)
    replicaset["metadata"]["annotations"].update(here["deployment"]["metadata"]["annotations"])


def slice_of(here):
    """A dual-stack one: each pod has two addresses."""
    pods = list(here["pods"])
    image = pods[-1]["image"] if pods else None
    if fault("missing", image):
        pods = pods[:-1]
    if fault("linger", image):
        pods[-1] = here["before"][0]
    return [{"kind": "EndpointSlice", "metadata": {"labels": {"kubernetes.io/service-name": service}},
             "ports": [{"name": "other", "port": 9}, {"name": "http", "port": 5000}],
             "endpoints": [{"addresses": [address], "conditions": {"ready": pod["ready"]}, "targetRef": {"name": pod["name"]}}
                           for pod in pods]}
            for address, service in (("10.0.0.1", "versiond"), ("fd00::1", "versiond"), ("10.0.0.1", "another"))]


def pod_object(pod):
    state = {} if pod["ready"] else {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    return {"kind": "Pod", "metadata": {"name": pod["name"]}, **container(pod["image"]),
            "status": {"containerStatuses": [{"name": "versiond", "ready": pod["ready"], "state": state}]}}


# --- the verbs ---


def get(namespace, words, options):
    with Cluster() as cluster:
        here = cluster.of(namespace)
    what, output = words[0], options.get("output", "")
    deployment = here["deployment"]
    lingering = here.get("before", [])[:1] if deployment and fault("linger", image_of(here)) else []
    pods = [pod_object(pod) for pod in here["pods"] + lingering]
    if what == "lease" and words[1] not in here["leases"]:
        if "ignore-not-found" not in options:
            not_found("leases.coordination.k8s.io", words[1])
    elif what == "lease":
        lease = here["leases"][words[1]]
        print(json.dumps(lease) if output == "json" else lease["spec"]["holderIdentity"])
    elif what == "deployment" and not deployment:
        if "ignore-not-found" not in options:
            not_found("deployments.apps", words[1])
    elif what == "deployment":
        deadline = deployment["spec"]["progressDeadlineSeconds"]
        print(json.dumps(deployment) if output == "json" else deadline)
    elif what == "replicasets":
        print(json.dumps({"kind": "List", "items": here["replicasets"]}))
    elif what == "deployments,pods,endpointslices.discovery.k8s.io":
        print(json.dumps({"kind": "List", "items": [deployment] * bool(deployment) + pods + slice_of(here)}))
    elif what == "pods" and output == "json":
        print(json.dumps({"kind": "List", "items": pods}))
    elif what == "pods":
        print("NAME READY", *(f"{pod['name']} {pod['ready']}" for pod in here["pods"]), sep="\n")
    elif what == "events":
        print("LAST SEEN TYPE REASON\n1s Warning Failed")
    else:
        fail(f"the fake cannot get {what}")


def apply(namespace, words, options):
    with open(options["filename"], encoding="utf-8") as file:
        text = file.read()
    if "server-side" not in options:
        with open(path("administrator.yaml"), "a", encoding="utf-8") as file:
            file.write(text)
        return
    image = re.search(r"^ *(?:- )?image: (\S+@\S+)$", text, re.MULTILINE)[1]
    if "kind: Namespace" in text:
        fail("namespaces is forbidden")
    if f"namespace: {namespace}" not in text:
        fail(f"not for {namespace}")
    if fault("dry-run", image):
        fail('Deployment.apps "versiond" is invalid: spec.replicas: Invalid value')
    if options.get("dry-run") == "server":
        return
    if fault("apply", image):
        fail('admission webhook "policy" denied the request')
    cause = re.search(r"^    kubernetes.io/change-cause: (.*)$", text, re.MULTILINE)[1]
    with open(path("applied.yaml"), "w", encoding="utf-8") as file:
        file.write(text)
    with Cluster() as cluster:
        change(cluster, namespace, image, {"kubernetes.io/change-cause": cause})


def annotate(namespace, words, options):
    with Cluster() as cluster:
        here = cluster.of(namespace)
        here["deployment"]["metadata"]["annotations"].update(word.split("=", 1) for word in words[2:])
        copy_annotations(cluster, here, image_of(here))


def image_of(here):
    return here["deployment"]["spec"]["template"]["spec"]["containers"][1]["image"]


def rollout(namespace, words, options):
    with Cluster() as cluster:
        image = image_of(cluster.of(namespace))
    if fault("hang", image):
        with open(path("hangs"), "w", encoding="utf-8"):
            signal.pause()
    if fault("not-ready", image):
        fail('deployment "versiond" exceeded its progress deadline')
    print('deployment "versiond" successfully rolled out')


def create(namespace, words, options):
    if words[:1] == ["token"]:
        print(f"token-of-{words[1]}-for-{options['duration']}")
        return
    thing = json.load(sys.stdin)
    name = thing["metadata"]["name"]
    with Cluster() as cluster:
        leases = cluster.of(namespace)["leases"]
        if name in leases:
            fail(f'leases.coordination.k8s.io "{name}" already exists')
        leases[name] = thing
        thing["metadata"]["resourceVersion"] = cluster.now()


def replace(namespace, words, options):
    thing = json.load(sys.stdin)
    name = thing["metadata"]["name"]
    with Cluster() as cluster:
        leases = cluster.of(namespace)["leases"]
        if leases[name]["metadata"]["resourceVersion"] != thing["metadata"]["resourceVersion"]:
            fail("the object has been modified")
        leases[name] = thing


def delete(namespace, words, options):
    with Cluster() as cluster:
        del cluster.of(namespace)["leases"][words[1]]


def port_forward(namespace, words, options):
    import http.server  # takes as long as all of the rest

    with Cluster() as cluster:
        here = cluster.of(namespace)
    pods = here["pods"] + here.get("before", [])
    name = words[0]
    pod = pods[0] if name == "service/versiond" else next((pod for pod in pods if pod["name"] == name), None)
    if not pod:
        not_found("pods", name)
    if words[1] != (":80" if name == "service/versiond" else ":5000"):
        fail(f"there is no port {words[1]}")
    if name.endswith("-1") and fault("deaf", pod["image"]):
        fail("error forwarding port: connection refused")
    digest = pod["image"].partition("@")[2]
    answer = next({"version": version, "commit": commit} for known, version, commit in lines("images") if known == digest)
    if name.endswith("-1") and fault("wrong", pod["image"]):
        answer["version"] = "9.9.9"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(f"Forwarding from 127.0.0.1:{server.server_port} -> 5000", flush=True)
    server.serve_forever()


VERBS = {"get": get, "apply": apply, "annotate": annotate, "rollout": rollout, "create": create, "replace": replace,
         "delete": delete, "port-forward": port_forward}
FLAGS = ("ignore-not-found", "server-side", "force-conflicts", "overwrite")


def main():
    words, options, arguments = [], {}, sys.argv[1:]
    if arguments[0] in ("kustomize", "config"):
        os.execv(os.environ["KUBECTL"], ["kubectl", *arguments])
    with open(path("calls"), "a", encoding="utf-8") as log:
        log.write(" ".join(arguments) + "\n")
    while arguments:
        word = arguments.pop(0)
        if not word.startswith("--"):
            words.append(word)
        elif "=" in word or word[2:] in FLAGS:
            name, _, options_value = word[2:].partition("=")
            options[name] = options_value
        else:
            options[word[2:]] = arguments.pop(0)
    if fault("down"):
        fail("the server could not be reached")
    VERBS[words[0]](options.get("namespace"), words[1:], options)


main()

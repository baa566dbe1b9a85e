#!/usr/bin/env python3
"""The parts of GitHub's REST API that scripts of this project call, for their tests: state in memory, TLS, a log.

    tests/support/fake_github.py FOLDER REPOSITORY...

REPOSITORY is OWNER/NAME. FOLDER has cert.pem and key.pem, of localhost. Written there: `port`, when it serves, and
`requests`, a line for each request: its method, path (without /api/v3, with the query) and the status of the answer.
It serves until it is ended. With it, `gh` talks to it and to nobody else:

    GH_HOST=localhost:PORT GH_ENTERPRISE_TOKEN=any SSL_CERT_FILE=FOLDER/cert.pem

An endpoint is a function with @route: it gets the Repository, the groups of the path, and the Request, and returns a
status and what is sent as JSON (None: nothing; bytes: as they are).
"""

import hashlib
import http.server
import json
import os
import re
import ssl
import sys
import urllib.parse

ROUTES = []


class Repository:
    """All that is known of one repository, each kind of thing in a table of its own, by id."""

    def __init__(self, name):
        self.name = name
        self.tables = {}
        self.last_id = 0

    def table(self, kind):
        return self.tables.setdefault(kind, {})

    def add(self, kind, thing):
        self.last_id += 1
        self.table(kind)[self.last_id] = {**thing, "id": self.last_id}
        return self.table(kind)[self.last_id]


class Request:
    """What was asked: url is the address without the query, folder the one of the server."""

    def __init__(self, folder, url, query, headers, body):
        self.folder = folder
        self.url = url
        self.query = dict(urllib.parse.parse_qsl(query))
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def page(self, things):
        """What the request asks for of a list: as GitHub, at most 100 a page, 30 unless told."""
        size = min(int(self.query.get("per_page", 30)), 100)
        first = size * (int(self.query.get("page", 1)) - 1)
        return list(things)[first : first + size]


def route(method, path):
    """Has a function answer METHOD of PATH, a regular expression of what follows /repos/OWNER/NAME."""

    def register(function):
        ROUTES.append((method, re.compile(path), function))
        return function

    return register


def problem(status, message):
    return status, {"message": message, "documentation_url": "https://docs.github.com/rest"}


@route("GET", "")
def repository(repo, request):
    return 200, {"full_name": repo.name, "default_branch": "main"}


# --- rulesets ---


@route("GET", "/rulesets")
def rulesets(repo, request):
    # As GitHub: the list leaves out what the rules are.
    kept = ("id", "name", "target", "enforcement", "source_type", "source")
    listed = [{key: ruleset[key] for key in kept if key in ruleset} for ruleset in repo.table("rulesets").values()]
    return 200, request.page(listed)


@route("POST", "/rulesets")
def create_ruleset(repo, request):
    asked = request.json()
    if any(ruleset["name"] == asked["name"] for ruleset in repo.table("rulesets").values()):
        return problem(422, "Name must be unique")
    return 201, repo.add("rulesets", {**asked, "source_type": "Repository", "source": repo.name})


@route("GET", "/rulesets/([0-9]+)")
def ruleset_of(repo, number, request):
    ruleset = repo.table("rulesets").get(int(number))
    return (200, ruleset) if ruleset else problem(404, "Not Found")


@route("PUT", "/rulesets/([0-9]+)")
def update_ruleset(repo, number, request):
    ruleset = repo.table("rulesets").get(int(number))
    if not ruleset:
        return problem(404, "Not Found")
    ruleset.update(request.json())
    return 200, ruleset


# --- environments ---


@route("PUT", "/environments/([^/]+)")
def set_environment(repo, name, request):
    repo.table("environments")[name] = {"name": name, **request.json()}
    return 200, repo.table("environments")[name]


@route("GET", "/environments/([^/]+)")
def environment(repo, name, request):
    found = repo.table("environments").get(name)
    return (200, found) if found else problem(404, "Not Found")


@route("GET", "/environments/([^/]+)/deployment-branch-policies")
def policies(repo, name, request):
    found = list(repo.table(f"policies of {name}").values())
    return 200, {"total_count": len(found), "branch_policies": request.page(found)}


@route("POST", "/environments/([^/]+)/deployment-branch-policies")
def create_policy(repo, name, request):
    asked = request.json()
    if not repo.table("environments")[name]["deployment_branch_policy"]["custom_branch_policies"]:
        return problem(404, "Not Found")
    if asked in [{"name": policy["name"], "type": policy["type"]} for policy in repo.table(f"policies of {name}").values()]:
        return problem(303, "See Other")
    return 200, repo.add(f"policies of {name}", asked)


# --- artifacts of a run: the files of FOLDER/artifacts, whatever the run ---


@route("GET", "/actions/runs/([0-9]+)/artifacts")
def artifacts(repo, number, request):
    found = [
        {"name": file.removesuffix(".zip"), "archive_download_url": f"{request.url}/{file}", "expired": False}
        for file in sorted(os.listdir(os.path.join(request.folder, "artifacts")))
    ]
    return 200, {"total_count": len(found), "artifacts": request.page(found)}


@route("GET", "/actions/runs/([0-9]+)/artifacts/([^/]+[.]zip)")
def artifact(repo, number, name, request):
    with open(os.path.join(request.folder, "artifacts", name), "rb") as file:
        return 200, file.read()


# --- releases ---


@route("GET", "/git/ref/tags/(.+)")
def tag(repo, name, request):
    known = name in (known["name"] for known in repo.table("tags").values())
    return (200, {"ref": f"refs/tags/{name}"}) if known else problem(404, "Not Found")


@route("POST", "/tags")
def create_tag(repo, request):
    # No endpoint of GitHub's: a test says what was pushed.
    return 201, repo.add("tags", request.json())


@route("GET", "/releases")
def releases(repo, request):
    return 200, request.page(repo.table("releases").values())


@route("POST", "/releases")
def create_release(repo, request):
    release = repo.add("releases", {**request.json(), "assets": []})
    release["upload_url"] = f"{request.url}/{release['id']}/assets{{?name,label}}"
    release["html_url"] = f"{request.url}/{release['id']}"
    return 201, release


@route("POST", "/releases/([0-9]+)/assets")
def upload_asset(repo, number, request):
    release = repo.table("releases")[int(number)]
    if not release["draft"]:
        return problem(422, "Cannot upload assets to an immutable release.")
    release["assets"].append({"name": request.query["name"], "digest": f"sha256:{hashlib.sha256(request.body).hexdigest()}"})
    return 201, release["assets"][-1]


@route("PATCH", "/releases/([0-9]+)")
def update_release(repo, number, request):
    release = repo.table("releases")[int(number)]
    release.update(request.json())
    return 200, release


@route("DELETE", "/releases/([0-9]+)")
def delete_release(repo, number, request):
    del repo.table("releases")[int(number)]
    return 204, None


# --- pull requests, and runs of workflows that were asked for ---


@route("GET", "/pulls")
def pulls(repo, request):
    head = request.query.get("head", "").partition(":")[2]
    return 200, request.page(pull for pull in repo.table("pulls").values() if head in ("", pull["head"]))


@route("POST", "/pulls")
def create_pull(repo, request):
    return 201, repo.add("pulls", {"state": "open", "html_url": request.url, **request.json()})


@route("POST", "/actions/workflows/([^/]+)/dispatches")
def dispatch(repo, workflow, request):
    asked = request.json()
    run = {"path": workflow, "event": "workflow_dispatch", "head_branch": asked["ref"], "inputs": asked.get("inputs")}
    repo.add("runs", run)
    return 204, None


@route("POST", "/actions/workflows/([^/]+)/runs")
def create_run(repo, workflow, request):
    # No endpoint of GitHub's: a test says what has run.
    return 201, repo.add("runs", {"path": workflow, "event": "push", "head_branch": "main", "status": "completed", **request.json()})


@route("GET", "/actions/workflows/([^/]+)/runs")
def runs(repo, workflow, request):
    asked = {"path": workflow}
    for parameter, field in (("head_sha", "head_sha"), ("branch", "head_branch"), ("event", "event")):
        if parameter in request.query:
            asked[field] = request.query[parameter]
    found = [run for run in repo.table("runs").values() if all(run.get(field) == asked[field] for field in asked)]
    # As GitHub: the newest first.
    return 200, {"total_count": len(found), "workflow_runs": request.page(reversed(found))}


# --- the server ---


# Users and teams, whatever the repository, and their numbers.
PEOPLE = {"/users/octocat": 583231, "/orgs/some-org/teams/operators": 42}


def answer(repositories, method, path, request):
    if method == "GET" and path in PEOPLE:
        return 200, {"id": PEOPLE[path]}
    match = re.fullmatch("/repos/([^/]+/[^/]+)(/.*)?", path)
    if not match or match[1] not in repositories:
        return problem(404, "Not Found")
    if not request.headers.get("Authorization"):
        return problem(401, "Requires authentication")
    for its_method, its_path, function in ROUTES:
        groups = its_path.fullmatch(match[2] or "")
        if its_method == method and groups:
            return function(repositories[match[1]], *groups.groups(), request)
    return problem(404, "Not Found")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        address = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(address.path).removeprefix("/api/v3")
        request = Request(self.server.folder, self.url(address.path), address.query, self.headers, self.body())
        try:
            status, sent = answer(self.server.repositories, self.command, path, request)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            status, sent = problem(400, f"Problems parsing: {error!r}")
        query = f"?{address.query}" if address.query else ""
        # Before the answer: who has it finds the line.
        with open(os.path.join(self.server.folder, "requests"), "a", encoding="utf-8") as log:
            log.write(f"{self.command} {path}{query} {status}\n")
        self.send(status, sent)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def url(self, path):
        return f"https://{self.headers.get('Host')}{path}"

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def send(self, status, sent):
        if not isinstance(sent, bytes):
            sent = b"" if sent is None else json.dumps(sent).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *words):
        pass


def serve(folder, names):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    server.folder = folder
    server.repositories = {name: Repository(name) for name in names}
    # Whole at once: who waits for the file reads all of it.
    port = os.path.join(folder, "port")
    with open(port + ".new", "w", encoding="utf-8") as file:
        file.write(f"{server.server_port}\n")
    os.rename(port + ".new", port)
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: tests/support/fake_github.py FOLDER REPOSITORY...")
    serve(sys.argv[1], sys.argv[2:])

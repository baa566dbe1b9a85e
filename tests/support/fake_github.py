#!/usr/bin/env python3
"""A minimal GitHub REST API for tests, over TLS, with its state in memory.

    tests/support/fake_github.py FOLDER REPOSITORY...

REPOSITORY is OWNER/NAME. FOLDER has cert.pem and key.pem for localhost, and in `artifacts` the ZIP files of all workflow runs.
Writes `port` once it serves, and appends "METHOD PATH STATUS" of each request to `requests`. See start_github in servers.sh.

A path below /repos/OWNER/NAME is a collection: GET lists it, POST adds to it; below it, a member, by id or name, takes GET, PUT,
PATCH and DELETE. A test adds tags and workflow runs in the same way.
"""

import hashlib
import http.server
import json
import os
import ssl
import sys
import urllib.parse

# The name of the list in a response, where it is not the response itself.
WRAPPERS = {"deployment-branch-policies": "branch_policies", "runs": "workflow_runs", "artifacts": "artifacts"}
DEFAULTS = {"runs": {"event": "push", "head_branch": "main", "status": "completed"}, "pulls": {"state": "open"}}
# Query parameters that filter, and the fields that they compare.
FILTERS = {"head_sha": "head_sha", "branch": "head_branch", "event": "event", "head": "head"}
# Ids of users and teams.
PEOPLE = {"/users/octocat": 583231, "/orgs/some-org/teams/operators": 42}
NOT_FOUND = (404, {"message": "Not Found"})


class Repository:
    def __init__(self):
        self.collections = {}
        self.last_id = 0

    def add(self, path, url, thing):
        self.last_id += 1
        kind = path.rpartition("/")[2]
        thing = {"html_url": url, **DEFAULTS.get(kind, {}), **thing, "id": self.last_id}
        if kind == "releases":
            thing |= {"assets": [], "upload_url": f"{url}/{self.last_id}/assets{{?name,label}}"}
        self.collections.setdefault(path, []).append(thing)
        return 201, thing

    def list(self, path, query):
        kind = path.rpartition("/")[2]
        filters = {FILTERS[name]: value.rpartition(":")[2] for name, value in query.items() if name in FILTERS}
        found = [thing for thing in self.collections.get(path, []) if all(thing.get(name) == filters[name] for name in filters)]
        if kind == "runs":
            found.reverse()  # newest first
        return 200, {WRAPPERS[kind]: found} if kind in WRAPPERS else found

    def member(self, method, path, body):
        folder, _, key = path.rpartition("/")
        members = self.collections.setdefault(folder, [])
        found = next((thing for thing in members if key in (str(thing["id"]), thing.get("name"))), None)
        if method == "PUT" and not found and folder == "environments":
            self.last_id += 1
            found = {"id": self.last_id, "name": key}
            members.append(found)
        if not found:
            return NOT_FOUND
        if method == "DELETE":
            members.remove(found)
            return 204, None
        found.update(json.loads(body) if body else {})
        return 200, found

    def artifacts(self, folder, url):
        files = sorted(os.listdir(os.path.join(folder, "artifacts")))
        found = [{"name": file.removesuffix(".zip"), "archive_download_url": f"{url}/{file}", "expired": False} for file in files]
        return 200, {"artifacts": found}

    def respond(self, method, path, query, url, body, folder):
        kind = path.rpartition("/")[2]
        if not path:
            return 200, {"default_branch": "main"}
        if kind == "artifacts":
            return self.artifacts(folder, url)
        if kind.endswith(".zip"):
            with open(os.path.join(folder, "artifacts", kind), "rb") as file:
                return 200, file.read()
        if kind == "assets":
            release = self.member("GET", path.removesuffix("/assets"), b"")[1]
            release["assets"].append({"name": query["name"], "digest": f"sha256:{hashlib.sha256(body).hexdigest()}"})
            return (201, {}) if release["draft"] else (422, {"message": "Cannot upload assets to an immutable release."})
        if kind == "dispatches":
            asked = json.loads(body)
            run = {"event": "workflow_dispatch", "head_branch": asked["ref"], "inputs": asked.get("inputs")}
            self.add(path.replace("dispatches", "runs"), url, run)
            return 204, None
        if method == "POST":
            return self.add(path, url, json.loads(body))
        if kind in ("rulesets", "releases", "pulls", "runs", "deployment-branch-policies"):
            return self.list(path, query)
        return self.member(method, path, body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_any(self):
        address = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(address.path).removeprefix("/api/v3")
        body = self.body()
        try:
            status, sent = self.respond(path, dict(urllib.parse.parse_qsl(address.query)), address, body)
        except (ValueError, KeyError) as error:
            status, sent = 400, {"message": repr(error)}
        # Before the response, so that its client finds the line.
        with open(os.path.join(self.server.folder, "requests"), "a", encoding="utf-8") as log:
            log.write(f"{self.command} {path}{address.query and '?' + address.query} {status}\n")
        if not isinstance(sent, bytes):
            sent = b"" if sent is None else json.dumps(sent).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

    def respond(self, path, query, address, body):
        if path in PEOPLE:
            return 200, {"id": PEOPLE[path]}
        _, _, owner, name, *rest = (path + "//").split("/")
        repository = self.server.repositories.get(f"{owner}/{name}")
        if not repository or not self.headers.get("Authorization"):
            return NOT_FOUND
        url = f"https://{self.headers.get('Host')}{address.path}"
        return repository.respond(self.command, "/".join(rest).rstrip("/"), query, url, body, self.server.folder)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = b""
        while size := int(self.rfile.readline(), 16):
            chunks += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return chunks

    def log_message(self, *words):
        pass


def serve(folder, names):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    server.folder = folder
    server.repositories = {name: Repository() for name in names}
    port = os.path.join(folder, "port")
    with open(port + ".new", "w", encoding="utf-8") as file:
        file.write(f"{server.server_port}\n")
    os.rename(port + ".new", port)  # readers never see a part of it
    server.serve_forever()


serve(sys.argv[1], sys.argv[2:])

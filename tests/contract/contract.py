"""The program against what its OpenAPI document says: a check of tests/contract/contract.sh.

    contract.py CHECK PROGRAM DOCUMENT [BASE_PATH]

CHECK is the name of one of the functions below "checks". The program is started on a free port, with BASE_PATH if that
is given, and asked there and, with it, below it. Exit status: 0 when all is as documented, else 1 with what is not.
Environment: RUNNER, what the program is to be run with, such as valgrind.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import jsonschema

WAIT = 60  # seconds for what takes none, and ten times that for a check; only used up when something is broken

ANY_METHOD = ["GET", "HEAD", "OPTIONS"]
REFUSED_METHODS = ["POST", "PUT", "PATCH", "DELETE", "TRACE"]

# What is wrong with a request, and what it is answered with; each closes the connection. (Not among them: an OPTIONS
# whose target is too long, on which libmicrohttpd ends the connection without a word.)
LONG = "a" * 9000
FAULTS = [
    (400, "{method} {target} HTTP/1.1\r\n\r\n"),
    (400, "{method} {target} HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    (400, "{method} {target}#fragment HTTP/1.1\r\nHost: a\r\n\r\n"),
    (413, "{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"),
    (414, "{method} {target}?" + LONG + " HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, "{method} {target} HTTP/1.1\r\nHost: a\r\nExpect: a\r\n\r\n"),
    (431, "{method} {target} HTTP/1.1\r\nHost: a\r\nX: " + LONG + "\r\n\r\n"),
    (501, "{method} {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (505, "{method} {target} HTTP/2.0\r\nHost: a\r\n\r\n"),
]
PLAIN = "{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
OLD = "{method} {target} HTTP/1.0\r\nConnection: keep-alive\r\n{fields}\r\n"
LAST = "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"

# What a client may prefer: a server could make a difference of each.
PREFERENCES = [
    "",
    "Accept: application/json\r\n",
    "Accept: text/html\r\n",
    "Accept: text/plain\r\n",
    "Accept: image/*\r\n",
]


class Broken(Exception):
    """Something is not as documented."""


def expect(condition, what):
    if not condition:
        raise Broken(what)


class Document:
    """The OpenAPI document, its references followed."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.all = json.load(file)
        self.paths = {path: self.follow(item) for path, item in self.all["paths"].items()}

    def follow(self, value):
        while "$ref" in value:
            steps, value = value["$ref"].removeprefix("#/").split("/"), self.all
            for step in steps:
                value = value[step.replace("~1", "/").replace("~0", "~")]
        return value

    def response(self, path, method, status):
        """The key of the response that is documented for a status, and the response."""
        responses = self.paths[path][method.lower()]["responses"]
        key = str(status) if str(status) in responses else "default"
        expect(key in responses, f"{method} {path}: {status} is not documented")
        return key, self.follow(responses[key])

    def faults_of(self, value, schema):
        """What is wrong with a value, by a schema of this document."""
        whole = {"components": self.all["components"], "allOf": [schema]}
        validator = jsonschema.Draft202012Validator(
            whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        return [error.message for error in validator.iter_errors(value)]


class Answer:
    """One answer, read from a file of a socket; with `content` unless its request was a HEAD."""

    def __init__(self, file, method):
        line = file.readline().decode("latin-1")
        expect(line, "no answer")
        self.status = int(line.split(" ")[1])
        self.fields = []
        while (line := file.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, value = line.split(": ", 1)
            self.fields.append((name, value))
        self.content = b""
        if method != "HEAD" and self.status != 204:
            self.content = file.read(int(self.field("Content-Length")))

    def names(self):
        return [name.lower() for name, _ in self.fields]

    def stable(self, path):
        """The fields as they come again: not the time, nor how long the metrics are now."""
        changing = {"Date", "Content-Length"} if path == "/metrics" else {"Date"}
        return [(name, value) for name, value in self.fields if name not in changing]

    def field(self, wanted):
        return next((value for name, value in self.fields if name.lower() == wanted.lower()), None)

    def __str__(self):
        fields = "".join(f"{name}: {value}\n" for name, value in self.fields)
        return f"{self.status}\n{fields}\n{self.content.decode('utf-8', 'replace')}"


class Server:
    """The program, running; at the end it is stopped, and is to end with `exit_status`."""

    exit_status = 0

    def __init__(self, program, base_path, *arguments):
        command = ["setpriv", "--pdeathsig", "KILL", *shlex.split(os.environ.get("RUNNER", "")), program]
        command += ["--port=0", "--log-format=json", "--access-log=off"]
        command += [f"--base-path={base_path}"] if base_path else []
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.endswith("SAN_OPTIONS")}
        if os.environ.get("RUNNER"):
            kept["SANDBOX"] = "off"  # which would judge the calls of the runner, too
        self.process = subprocess.Popen(
            [*command, *arguments], env=kept, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.port = self.await_line("listening")["port"]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=WAIT)
        expect(kind or self.process.returncode == self.exit_status, f"it ended with {self.process.returncode}: {rest}")

    def await_line(self, message):
        for line in self.process.stderr:
            event = json.loads(line)
            if event["msg"] == message:
                return event
        raise Broken(f"the program has ended before it said '{message}'")

    def ask(self, request, method):
        """The answer to a request on a connection of its own, which is then as the answer says: closed, or in use."""
        with socket.create_connection(("localhost", self.port), timeout=WAIT) as client, client.makefile("rb") as file:
            client.sendall(request.encode())
            answer = Answer(file, method)
            if answer.field("Connection") == "close":
                expect_end(file)
            else:
                client.sendall(LAST.format(method="GET", target="/healthz", fields="").encode())
                expect(Answer(file, "GET").status == 200, "the connection does not go on")
        return answer


def expect_end(file):
    try:
        rest = file.read()
    except ConnectionResetError:  # what it had not read is thrown away
        rest = b""
    expect(rest == b"", f"more than an answer: {rest!r}")


def expect_answer(document, response, answer, method):
    """The answer is the documented response. Returns its media type, or None where no content is documented."""
    names = answer.names()
    headers = {name.lower(): document.follow(header) for name, header in response["headers"].items()}
    wanted = {*headers, "content-type"} if "content" in response else {*headers}
    required = wanted - {name for name, header in headers.items() if not header.get("required")}
    expect(len(names) == len(set(names)), "a field comes twice")
    expect(set(names) <= wanted, f"not documented: {sorted(set(names) - wanted)}")
    expect(required <= set(names), f"missing: {sorted(required - set(names))}")
    # Where it is optional, it depends on the status.
    expect(("allow" in names) == (answer.status in (204, 405)), "Allow comes with 204 and 405, and only there")
    for name in headers.keys() & set(names):
        schema, value = headers[name]["schema"], answer.field(name)
        faults = document.faults_of(int(value) if schema.get("type") == "integer" else value, schema)
        expect(not faults, f"{name}: {faults}")
    if "content" not in response:
        return None
    content_type = answer.field("Content-Type")
    expect(content_type in response["content"], f"Content-Type: {content_type} is not documented")
    if method != "HEAD":
        expect_content(document, response["content"][content_type], answer, content_type)
    return content_type


def expect_content(document, media_type, answer, content_type):
    text = answer.content.decode("utf-8")
    value = json.loads(text) if re.fullmatch(r"application/(.*\+)?json", content_type) else text
    faults = document.faults_of(value, media_type["schema"])
    expect(not faults, f"content: {faults}")
    if content_type == "application/problem+json":
        expect(value.get("status", answer.status) == answer.status, "`status` is another than the status")


class Talk:
    """Asks a server, compares with the document, and remembers which of it was seen."""

    def __init__(self, document, server, base_path):
        self.document, self.server, self.prefixes = document, server, ["", base_path] if base_path else [""]
        self.seen, self.statuses = set(), set()

    def ask(self, path, method, status, request, responses_of=None, **fields):
        """For each prefix. `responses_of` is the method whose responses hold: that of the request, if not given."""
        documented = responses_of or method
        key, response = self.document.response(path, documented, status)
        for prefix in self.prefixes:
            text = request.format(method=method, target=prefix + path, **fields)
            content_type, answer = self.compare(method, status, text, response)
            self.seen.add((path, documented.lower(), key, content_type))
        return answer

    def compare(self, method, status, request, response):
        answer = None
        try:
            answer = self.server.ask(request, method)
            expect(answer.status == status, f"expected {status}")
            content_type = expect_answer(self.document, response, answer, method)
        except Broken as error:
            raise Broken(f"{error}\n-- asked:\n{request[:300]}-- answered:\n{answer}") from error
        if content_type == "application/problem+json" and answer.content:
            self.statuses.add(json.loads(answer.content).get("status"))
        return content_type, answer


def documented(document):
    """Each response that is documented: path, method, status and media type."""
    for path, item in document.paths.items():
        for method, operation in item.items():
            for key, response in operation["responses"].items():
                for content_type in document.follow(response).get("content", {None: None}):
                    yield path, method, key, content_type


# checks


def routes(document, program, base_path):
    """The paths that a 404 lists are those of the document, which says the same of each: GET, HEAD, OPTIONS."""
    with Server(program, base_path) as server:
        answer = server.ask(PLAIN.format(method="GET", target="/nowhere", fields=""), "GET")
    detail = json.loads(answer.content)["detail"]
    listed = re.search(r"Valid paths: ([^ ,]+(?:, /[^ ,]*)*?)(?:, and the same under [^ ]*)?\.$", detail)
    expect(listed, f"no list of paths: {detail}")
    expect(set(listed[1].split(", ")) == set(document.paths), f"served: {listed[1]}\ndocumented: {[*document.paths]}")
    for path, item in document.paths.items():
        expect(sorted(item) == ["get", "head", "options"], f"{path}: documented: {[*item]}")


def answers(document, program, base_path):
    """Each documented response can be had, and is as documented; what is refused, too."""
    with Server(program, base_path) as server:
        talk = Talk(document, server, base_path)
        for path in document.paths:
            ask_operations(talk, path)
            for method in ANY_METHOD:
                for status, request in FAULTS:
                    if (method, status) != ("OPTIONS", 414):
                        talk.ask(path, method, status, request)
            for method in REFUSED_METHODS:
                talk.ask(path, method, 405, PLAIN, "GET", fields="")
            talk.ask(path, "BREW", 501, PLAIN, "GET", fields="")
        expect_elsewhere(talk, base_path)
    draining_only = {entry for entry in documented(document) if entry[2] == "503"}
    missing = set(documented(document)) - talk.seen - draining_only
    expect(not missing, f"documented, and not seen: {sorted(missing, key=str)}")
    statuses = {*document.all["components"]["schemas"]["Problem"]["properties"]["status"]["enum"]}
    expect(statuses == talk.statuses - {None}, f"`status`: documented: {statuses}, seen: {talk.statuses}")


def ask_operations(talk, path):
    """GET, HEAD with the same fields, and OPTIONS; whatever is preferred, and however the connection is to be kept."""
    for request in PLAIN, OLD, LAST:
        for fields in PREFERENCES:
            got = talk.ask(path, "GET", 200, request, fields=fields)
            head = talk.ask(path, "HEAD", 200, request, fields=fields)
            expect(head.stable(path) == got.stable(path), f"{path}: HEAD has other fields:\n{head}\nthan GET:\n{got}")
        talk.ask(path, "OPTIONS", 204, request, fields="")


def expect_elsewhere(talk, base_path):
    """What has no path in the document, in the words of its description."""
    responses = talk.document.all["components"]["responses"]
    for status, method, target in [
        *[(404, method, "/nowhere") for method in ANY_METHOD + REFUSED_METHODS],
        (404, "GET", "/version/"),
        (404, "GET", f"{base_path}/nowhere"),
        (501, "BREW", "/nowhere"),
        (204, "OPTIONS", "*"),
        (405, "CONNECT", "a:1"),
    ]:
        response = responses["Methods" if status == 204 else "Problem"]
        talk.compare(method, status, PLAIN.format(method=method, target=target, fields=""), response)


def draining(document, program, base_path):
    """Once it was asked to stop: /readyz is the only one with another status, and every answer closes."""
    with Server(program, base_path, "--drain-delay=10m") as server:
        server.process.send_signal(signal.SIGTERM)
        server.await_line("draining")
        server.exit_status = 1  # as it is asked a second time
        talk = Talk(document, server, base_path)
        for path, item in document.paths.items():
            for method in ANY_METHOD:
                status = 204 if method == "OPTIONS" else 503 if "503" in item["get"]["responses"] else 200
                answer = talk.ask(path, method, status, PLAIN, fields="")
                expect(answer.field("Connection") == "close", f"{method} {path}: not closed")
    missing = {entry for entry in documented(document) if entry[2] == "503"} - talk.seen
    expect(not missing, f"documented, and not seen: {sorted(missing)}")


def served(document, program, base_path):
    """What is served at /openapi.json is the document."""
    with Server(program, base_path) as server:
        for prefix in ["", base_path]:
            answer = server.ask(PLAIN.format(method="GET", target=prefix + "/openapi.json", fields=""), "GET")
            expect(answer.status == 200 and json.loads(answer.content) == document.all, f"another document:\n{answer}")


def generated(document, program, base_path):
    """What schemathesis makes of the document; from the current folder, where it may leave files."""
    here, binaries = os.path.dirname(os.path.abspath(__file__)), os.path.dirname(sys.executable)
    with Server(program, base_path) as server:
        command = [f"{binaries}/schemathesis", "--config-file", f"{here}/schemathesis.toml", "run", sys.argv[3]]
        command += ["--url", f"http://localhost:{server.port}{base_path}", "--checks", "all"]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    operations = sum(len(item) for item in document.paths.values())
    tested = re.search(rf"Tested: {operations}\n", run.stdout) and re.search(r" (\d+) generated, \1 passed", run.stdout)
    expect(run.returncode == 0 and tested, run.stdout)


def give_up(*_):
    raise Broken("it takes too long")


def main():
    check, program, path = sys.argv[1:4]
    checks = {function.__name__: function for function in (routes, answers, draining, served, generated)}
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10 * WAIT)
    try:
        checks[check](Document(path), program, sys.argv[4] if len(sys.argv) > 4 else "")
    except Broken as error:
        sys.exit(f"{check}: {error}")


main()

"""The servers that `make bench` compares: what each is, how it is started, what of it has to be shipped.

Each function below `PEERS` makes ready what it needs in a folder and returns a Server, or raises Missing.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import typing

HERE = pathlib.Path(__file__).resolve().parent
# Every system has them: what a program links beyond these has to come with it.
LIBC = re.compile(r"(ld-linux.*|ld-musl.*|lib(c|m|dl|rt|pthread|util))\.so\.\d+$")
NOT_SHIPPED = {"__pycache__", "test", "site-packages", "dist-packages"}


class Failure(Exception):
    """What ends a comparison: it cannot be made, or a server did not do what it is compared for."""


class Missing(Exception):
    """Why a peer cannot be had here."""


@dataclasses.dataclass
class Place:
    """What the servers are made from: the programs, a folder to write to, and what versiond has answered."""

    program: pathlib.Path
    helpers: pathlib.Path
    work: pathlib.Path
    threads: int
    answer: bytes = b""
    body: bytes = b""

    def write(self, name, content):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@dataclasses.dataclass
class Server:
    name: str
    version: str
    configuration: str
    size: int  # bytes that have to be shipped
    starts: int  # how many are measured in a round
    command: typing.Callable[[int], list]  # given a port
    environment: dict = dataclasses.field(default_factory=dict)


def output_of(command, **options):
    """What a command prints, on both streams. Failure when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        raise Failure(f"{command[0]} failed: {done.stdout.strip()}")
    return done.stdout.strip()


def program_size(program):
    """Bytes of a program and of the libraries that it links, but for the libc."""
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    libraries = re.findall(r"^\s*(\S+) => (/\S+)", listed.stdout, re.MULTILINE)
    files = [program] + [path for name, path in libraries if not LIBC.match(name)]
    return sum(os.stat(file).st_size for file in files)


def folder_size(folder, left_out):
    """Bytes of the files of a folder, without those in folders named in left_out."""
    size = 0
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in left_out and not name.startswith("config-")]
        size += sum(os.lstat(os.path.join(path, name)).st_size for name in files)
    return size


def versiond(place):
    program = place.program
    return Server(
        name="versiond",
        version=output_of([program, "--version"]).splitlines()[0].partition(" ")[2],
        configuration=f"--threads {place.threads}, all else by default",
        size=program_size(program),
        starts=20,
        command=lambda port: [program, "--address", "127.0.0.1", "--port", port, "--threads", place.threads],
    )


def floor(place):
    program = place.helpers / "floor"
    answer = place.write("floor/answer", place.answer)
    return Server(
        name="floor",
        version="bench/floor.c",
        configuration=f"{place.threads} threads, each with epoll; the compiler, flags and libc of versiond",
        size=program_size(program),
        starts=20,
        command=lambda port: [program, port, place.threads, answer],
    )


def nginx_text(text):
    """A string of nginx's configuration, between single quotes. It has no way to say a dollar."""
    if "$" in text:
        raise Failure("nginx cannot return a body with a '$'")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def nginx(place):
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        raise Missing("nginx is not installed: apt-get install nginx-light")
    template = (HERE / "nginx.conf").read_text()

    def command(port):
        values = {"THREADS": place.threads, "PORT": port, "BODY": nginx_text(place.body.decode())}
        text = re.sub("@([A-Z]+)@", lambda name: str(values[name[1]]), template)
        folder = place.write("nginx/nginx.conf", text.encode()).parent
        return [program, "-p", folder, "-e", "stderr", "-c", "nginx.conf"]

    return Server(
        name="nginx",
        version=output_of([program, "-v"]).removeprefix("nginx version: nginx/"),
        configuration=f"`return 200` (bench/nginx.conf), {place.threads} worker processes, no access log",
        size=program_size(program),
        starts=20,
        command=command,
    )


def go(place):
    compiler = shutil.which("go")
    if compiler is None:
        raise Missing("go is not installed: apt-get install golang-go")
    program = place.work / "go" / "server"
    body = place.write("go/body", place.body)
    settings = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    build = [compiler, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "."]
    output_of(build, cwd=HERE / "go", env=settings)
    return Server(
        name="Go net/http",
        version=output_of([compiler, "env", "GOVERSION"], env=settings).removeprefix("go"),
        configuration=f"bench/go, GOMAXPROCS={place.threads}",
        size=program_size(program),
        starts=20,
        command=lambda port: [program, f"127.0.0.1:{port}", body],
        environment={"GOMAXPROCS": str(place.threads)},
    )


def python_of_peers():
    """The interpreter of the environment that scripts/tools.sh makes from bench/requirements.txt."""
    made = subprocess.run(
        ["scripts/tools.sh", "bench-python"], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False
    )
    if made.returncode == 77:
        raise Missing(made.stdout.strip().splitlines()[-1].removeprefix("skipped: "))
    if made.returncode != 0:
        raise Failure("scripts/tools.sh cannot make bench-python")
    return pathlib.Path(made.stdout.strip())


def python_size(python):
    """Bytes of the interpreter, its standard library, and the packages that were installed for the peers."""
    question = "import sysconfig; print(sysconfig.get_path('stdlib')); print(sysconfig.get_path('platlib'))"
    library, packages = output_of([python, "-c", question]).splitlines()
    installers = {name for name in os.listdir(packages) if re.match("pip|setuptools|pkg_resources|_distutils", name)}
    return (
        program_size(os.path.realpath(python))
        + folder_size(library, NOT_SHIPPED)
        + folder_size(packages, NOT_SHIPPED | installers)
    )


def package_version(python, package):
    version = output_of([python, "-c", f"import importlib.metadata as m; print(m.version('{package}'))"])
    return f"{version}, {output_of([python, '--version'])}"


def flask(place):
    python = python_of_peers()
    body = place.write("python/body", place.body)
    return Server(
        name="Flask's own server",
        version=package_version(python, "flask"),
        configuration="`flask run` of bench/app.py: one process, a thread for each connection, which it closes",
        size=python_size(python),
        starts=2,
        command=lambda port: [
            python,
            "-m",
            "flask",
            "--app",
            HERE / "app.py",
            "run",
            "--host",
            "127.0.0.1",
            "--port",
            port,
        ],
        environment={"BODY": str(body), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def gunicorn(place):
    python = python_of_peers()
    body = place.write("python/body", place.body)
    options = ["--workers", place.threads, "--worker-class", "gthread", "--threads", "4"]
    options += ["--worker-connections", "2048", "--keep-alive", "75", "--chdir", HERE]
    return Server(
        name="gunicorn",
        version=package_version(python, "gunicorn"),
        configuration=f"bench/app.py, {place.threads} workers (gthread, 4 threads), keep-alive 75 s",
        size=python_size(python),
        starts=2,
        command=lambda port: [python, "-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}", "app:app"],
        environment={"BODY": str(body), "PYTHONDONTWRITEBYTECODE": "1"},
    )


# By the names that PEERS= takes.
PEERS = {"floor": floor, "nginx": nginx, "go": go, "gunicorn": gunicorn, "flask": flask}
# By the names that a missing one is told by.
TITLES = {
    "floor": "floor",
    "nginx": "nginx",
    "go": "Go net/http",
    "gunicorn": "gunicorn",
    "flask": "Flask's own server",
}

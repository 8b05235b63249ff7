"""Prepares programs, libraries and rows."""
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import generate

from .targets import BENCH, FLOOR, GATHERUM, NODE, PROFILE, PYTHON, TARGET

WORK = BENCH / ".work"
POSTGRES = os.environ.get("BENCH_POSTGRES", "postgres://postgres@127.0.0.1:5432").rstrip("/")
SORT_KEY_STEP = 1 << 20


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout.strip()


def psql(database, *statements):
    """Runs statements, each on its own, and returns what the last one yields."""
    for statement in statements:
        result = output("psql", "-qtAX", "-v", "ON_ERROR_STOP=1", f"{POSTGRES}/{database}", "-c", statement)
    return result


def build():
    """Programs and libraries, at the versions of the lock files."""
    missing = [tool for tool in ("cargo", "npm", "wrk", "psql") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)}")
    WORK.mkdir(exist_ok=True)
    run("cargo", "build", *PROFILE, "--locked", cwd=BENCH.parent, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    run("cargo", "build", "--release", "--locked", cwd=BENCH / "floor",
        env={**os.environ, "CARGO_TARGET_DIR": str(FLOOR.parent.parent)})
    once("npm", [BENCH / "peers" / "package-lock.json"],
         lambda: run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=BENCH / "peers"))
    once("venv", [BENCH / "requirements.txt"], make_venv)


def make_venv():
    run(sys.executable, "-m", "venv", "--clear", PYTHON.parent)
    run(PYTHON / "pip", "install", "--quiet", "--requirement", BENCH / "requirements.txt")


def stamp(files):
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def once(name, files, work):
    """Does the work unless it was done for the same files."""
    done, now = WORK / f"{name}.stamp", stamp(files)
    if not done.exists() or done.read_text() != now:
        work()
        done.write_text(now)


def versions():
    """The measured versions."""
    def locked(file, name):
        return re.search(rf'name = "{name}"\nversion = "([^"]+)"', file.read_text())[1]

    lock = BENCH.parent / "Cargo.lock"
    packages = ("postgraphile", "mercurius", "graphql-yoga", "dataloader", "fastify", "graphql", "pg")
    node = {name: package_version(name) for name in packages}
    python = dict(line.split("==") for line in (BENCH / "requirements.txt").read_text().split() if "==" in line)
    return {
        "gatherum": output("git", "-C", BENCH.parent, "rev-parse", "--short", "HEAD"),
        "rustc": output("rustc", "--version").split()[1],
        "async-graphql": locked(lock, "async-graphql"),
        "axum": locked(lock, "axum"),
        "sqlx": locked(lock, "sqlx"),
        "PostgreSQL": psql("postgres", "show server_version").split()[0],
        "node": output(NODE, "--version").lstrip("v"),
        **node,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        **{name: python[name] for name in ("strawberry-graphql", "asyncpg", "uvicorn")},
        "wrk": re.search(r"wrk (?:debian/)?(\S+)",
                         subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout)[1],
    }


def package_version(name):
    return json.loads((BENCH / "peers" / "node_modules" / name / "package.json").read_text())["version"]


class Data:
    """A dataset in both databases."""

    def __init__(self, name):
        self.name = name
        self.size = generate.SIZES[name]
        self.sizes = generate.collection_sizes(self.size)
        self.database = f"gatherum_bench_size_{name.lower()}"

    def url(self, database):
        # Without TLS, which only some clients use if the server offers it.
        return f"{POSTGRES}/{self.database}?sslmode=disable" if database == "PostgreSQL" else f"sqlite://{WORK / self.name}.db"

    def near(self, wanted):
        """The collection whose size is nearest."""
        return min(range(len(self.sizes)), key=lambda collection: abs(self.sizes[collection] - wanted))

    def collection_near(self, wanted):
        return generate.type_id("collection", self.near(wanted))

    def members_near(self, wanted):
        return self.sizes[self.near(wanted)]

    def cursor(self, wanted, place):
        """gatherum's cursor of a member: the list, sort key and id, and a checksum."""
        collection = self.near(wanted)
        *_, artifact = generate.members(self.size, collection, place + 1)
        body = fnv(b"Collection.artifacts POSITION ASC") + (place * SORT_KEY_STEP).to_bytes(8)
        body += generate.bits(artifact).to_bytes(16)
        return base64.urlsafe_b64encode(body + fnv(body)).rstrip(b"=").decode()


def fnv(text):
    """FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in text:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value.to_bytes(4)


def load(name):
    """Has `gatherum import` read a dataset into both databases, unless it did before."""
    data = Data(name)
    now = stamp([BENCH / "generate.py", *(BENCH.parent / "migrations").glob("*/*.up.sql")])
    kept = psql("postgres", "select shobj_description(oid, 'pg_database') from pg_database "
                            f"where datname = '{data.database}'")
    if kept != now:
        psql("postgres", f"drop database if exists {data.database}", f"create database {data.database}")
        import_into(data.url("PostgreSQL"), name)
        psql(data.database, "vacuum analyze", "checkpoint", f"comment on database {data.database} is '{now}'")
    file, done = WORK / f"{name}.db", WORK / f"{name}.stamp"
    if not file.exists() or not done.exists() or done.read_text() != now:
        for old in WORK.glob(f"{name}.db*"):
            old.unlink()
        import_into(data.url("SQLite"), name)
        done.write_text(now)
    return data


def import_into(url, name):
    print(f"loading {name} into {url}", flush=True)
    rows = subprocess.Popen([sys.executable, BENCH / "generate.py", name], stdout=subprocess.PIPE)
    run(GATHERUM, "import", "ndjson", "-", stdin=rows.stdout, env={**os.environ, "DATABASE_URL": url, "LOG_LEVEL": "warn"})
    if rows.wait():
        raise SystemExit("the rows could not be generated")

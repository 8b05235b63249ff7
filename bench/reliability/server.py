"""A gatherum process with a catalogue, for the reliability measurements."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

import generate  # noqa: E402 (its folder is only known now)

RELEASE = BENCH.parent / "target" / "release" / "gatherum"


def environment(changes):
    """The environment without settings of gatherum, and with these."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {**kept, "LOG_FORMAT": "json", **changes}


def import_catalogue(program, url, artifacts, members=500, content_bytes=0):
    """Imports a generated catalogue with this number of artifacts, each with a content of this size."""
    size = generate.Size(artifacts=artifacts, collections=max(10, artifacts // 20), largest=min(members, artifacts), skew=0.8)
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
        for record in generate.records(size):
            if content_bytes and record["record"] == "artifact":
                record["content"] = "x" * content_bytes
            file.write(json.dumps(record) + "\n")
        file.flush()
        run = subprocess.run([program, "import", "ndjson", file.name], env=environment({"DATABASE_URL": url}),
                             capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"import failed: {run.stdout}{run.stderr}")


class Server:
    """A server process, which is ended with the block."""

    def __init__(self, program, url, folder, **settings):
        self.log_path = pathlib.Path(folder) / "gatherum.log"
        log = open(self.log_path, "w")
        env = environment({"DATABASE_URL": url, "GATHERUM_BIND": "127.0.0.1:0", **settings})
        command = [pathlib.Path(program).resolve(), "serve"]
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        if not found:
            self.process.kill()
            raise SystemExit(f"the server did not start: {line}{self.log_path.read_text()}")
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def memory_mb(self, field="VmRSS"):
        """Resident memory now, or its maximum with the field VmHWM."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024

    def warnings(self):
        """The messages of the warnings and errors in the log."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line.get("level") in ("WARN", "ERROR")]
        return [line.get("fields", line).get("message", "") for line in found]


class Report:
    """Results beside their goals. A violated goal makes the exit status 1."""

    def __init__(self, title):
        self.rows, self.title = [], title

    def add(self, name, value, goal, is_met):
        self.rows.append((name, value, goal, is_met))

    def end(self):
        width = max(len(row[0]) for row in self.rows)
        print(f"\n{self.title}")
        for name, value, goal, is_met in self.rows:
            print(f"  {name:<{width}}  {value!s:<28} goal: {goal!s:<28} {'ok' if is_met else 'NOT MET'}", flush=True)
        return all(row[3] for row in self.rows)

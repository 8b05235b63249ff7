"""A PostgreSQL server of our own, which can be killed and frozen."""
import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess


def program(name):
    """The path of a program of PostgreSQL, of its newest version; None without one."""
    versions = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: int(path.split("/")[4]))
    return versions[-1] if versions else shutil.which(name)


class Postgres:
    """A server in a folder, on a free port. It ends with the block."""

    def __init__(self, folder):
        self.data = pathlib.Path(folder) / "postgres"
        self.data.mkdir()
        # initdb does not run as root.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            os.chmod(folder, 0o755)
            shutil.chown(self.data, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self.run("initdb", "--pgdata", self.data, "--username", "postgres", "--auth", "trust", "--no-sync")

    def run(self, name, *arguments):
        subprocess.run([*self.user, program(name), *map(str, arguments)], check=True, cwd="/",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.run("pg_ctl", "start", "--wait", "--pgdata", self.data, "--log", self.data / "log", "--options", options)

    def crash(self):
        """Ends the server as a failure would: no connection is closed in an orderly way."""
        self.run("pg_ctl", "stop", "--mode", "immediate", "--pgdata", self.data)

    def processes(self):
        main = int((self.data / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def signal(self, number):
        for process in self.processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def psql(self, *statements):
        """Starts a session that runs statements."""
        commands = [word for statement in statements for word in ("-c", statement)]
        return subprocess.Popen([program("psql"), "-qX", self.url, *commands], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.thaw()
            self.crash()
        except (OSError, subprocess.CalledProcessError):
            pass  # It was down already.

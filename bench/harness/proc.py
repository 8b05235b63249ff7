"""CPU time and memory of processes, from Linux."""
import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and all its descendants."""
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                pids += [int(child) for child in task.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
    return pids


def cpu_times(pids):
    """User and system time of each process, in seconds."""
    times = {}
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        times[pid] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return times


def cpu_seconds(before, after):
    """CPU time of processes in between. A process that has ended counts as zero."""
    return sum(seconds - before.get(pid, 0) for pid, seconds in after.items())


def postgres_backends(database):
    """The processes of PostgreSQL that serve connections to a database, if the server is on this machine."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes().rstrip(b"\0").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if title.startswith("postgres:") and f" {database} " in title:
            pids.append(int(path.parent.name))
    return pids


def memory_mb(pids):
    """Resident memory, a page that several map counted once, and how much of it is the processes' own rather than files'."""
    total = own = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        rollup = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines)}
        total += rollup["Pss"]
        own += rollup["Pss_Anon"]
    return {"total": total / 1024, "own": own / 1024}


def hardware():
    """One line about the machine."""
    model = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name"))
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()
                  if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores ({model}), {memory / 1024 ** 2:.0f} GiB, Linux {os.uname().release}"


def machine_times():
    """Of all processors since the start of the machine: time that its host gave to others, and all time, in ticks."""
    with open("/proc/stat") as stat:
        times = [int(ticks) for ticks in stat.readline().split()[1:9]]
    return times[7], sum(times)


def stolen_share(before, after):
    """The share of the processors' time that others had."""
    return (after[0] - before[0]) / max(after[1] - before[1], 1)

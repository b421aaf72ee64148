"""A real SLURM of one node, this machine, for a test: its daemons, started and stopped.

It needs Debian's packages slurm-wlm and munge, and root: the daemons refuse to start otherwise.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
CONFIG = Path("/etc/slurm/slurm.conf")  # jobs look there: the engine strips SLURM_* variables
SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
SlurmctldPort=17817
SlurmdPort=17818
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why there can be no SLURM here; empty if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "the daemons of SLURM want root"
    return f"{CONFIG} exists: this is a cluster's machine" if CONFIG.exists() else ""


@contextmanager
def one_node_slurm(home: Path):
    """Start the daemons; end them, and remove their settings, at the end."""
    for name in ("state", "spool"):
        (home / name).mkdir(parents=True)
    home.chmod(0o755)
    key = home / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    host = socket.gethostname().split(".")[0]
    CONFIG.parent.mkdir(exist_ok=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 500
    CONFIG.write_text(SETTINGS.format(home=home, host=host, cpus=os.cpu_count(), memory=memory))
    daemons = []
    try:
        munge = ["munged", "--foreground", "--force", f"--socket={home}/munge.socket"]
        munge += [f"--key-file={key}", f"--log-file={home}/munge.log"]
        munge += [f"--pid-file={home}/munge.pid", f"--seed-file={home}/munge.seed"]
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = open(home / f"{command[0]}.out", "w")
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
            time.sleep(1)
        deadline = time.monotonic() + 60
        while "idle" not in (told := _node_state()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the node does not come up ({told}); see {home}")
            time.sleep(1)
        yield host
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        CONFIG.unlink(missing_ok=True)


def _node_state() -> str:
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()

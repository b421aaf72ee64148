"""The numerical tests as other processors would run them: `make sweep`, in short in `make test`.

Libraries choose their kernels by the processor: other instructions add in another order and round
elsewhere. Each setting is a processor that somebody has, told to torch, MKL, oneDNN and numba. A
test that fails under one of them compares chaos too late, breaks a tie or has too tight a bound.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NUMBA_CPU_NAME": "generic",
}
SETTINGS = {
    "avx2": AVX2,
    "no vectors": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "NUMBA_CPU_NAME": "generic",
    },
    "avx2, two threads": AVX2 | {"OMP_NUM_THREADS": "2", "RNNLIB_TEST_THREADS": "2"},
    "as it is, two threads": {"OMP_NUM_THREADS": "2", "RNNLIB_TEST_THREADS": "2"},
}
ROOMS = ("nn", "systems", "dynamics", "memory", "smoothness", "language")
# What compares two routes, orbits or kernels, in about a minute.
SHORT = (
    "tests/nn/test_skew_expm.py",
    "tests/dynamics/test_lyapunov.py",
    "tests/dynamics/test_orbits.py",
    "tests/smoothness/test_sensitivities.py",
    "tests/smoothness/test_cost.py",
    "tests/language/test_fast_decoding.py",
    "tests/language/test_free_running.py",
    "tests/language/test_rounded_cross_entropy.py",
)


def main():
    """Run the tests under each setting and say which failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a minute, under the first setting")
    short = parser.parse_args().short
    chosen = list(SETTINGS)[:1] if short else list(SETTINGS)
    tests = SHORT if short else [f"tests/{room}" for room in ROOMS]
    failed = []
    for name in chosen:
        print(f"{name}: {SETTINGS[name]}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        command += ["--numprocesses", "2", "--dist", "loadfile"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | SETTINGS[name])
        failed += [name] if done.returncode else []
    sys.exit(f"these settings failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()

"""Builds an extension with the sanitizers for addresses and undefined behaviour, and runs a script.

They end the process where the extension leaves its bounds.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def run_sanitized(
    source: Path, script: str, folder: Path, *arguments: str, **environment: str
) -> None:
    """The script imports the extension by its name, and prints `done` at its end."""
    compiler = sysconfig.get_config_var("CC").split()[0]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = f"-I{sysconfig.get_paths()['include']}"
    command = [compiler, "-g", "-O1", "-std=c11", "-Wno-psabi", *sanitizers, "-shared", "-fPIC"]
    library = folder / f"{source.stem}.so"
    subprocess.run([*command, include, source, "-o", library], check=True)
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, folder / "script.py", *arguments],
        env={"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]

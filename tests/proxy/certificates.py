"""Authorities and what they sign, as openssl makes it."""

import ssl
import subprocess
from pathlib import Path

NEW = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"


def make_certificate(folder: Path, name: str = "", host: str = "IP:127.0.0.1") -> ssl.SSLContext:
    """A certificate and its key, which it signs itself, and what trusts it."""
    _openssl(
        folder,
        f"{NEW} -subj /CN=localhost -addext subjectAltName={host}"
        f" -keyout {name}key.pem -out {name}cert.pem",
    )
    return ssl.create_default_context(cafile=str(folder / f"{name}cert.pem"))


def _openssl(folder: Path, arguments: str) -> None:
    command = ["openssl", *arguments.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)

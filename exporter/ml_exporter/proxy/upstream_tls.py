"""How the proxy knows that a model server is the right one, and shows that it is itself."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from ml_exporter.access import TLS_VERSIONS
from ml_exporter.config.config import ConfigError
from ml_exporter.config.proxy_settings import UpstreamTls
from ml_exporter.config.yaml_file import describe_os_error


def upstream_context(tls: UpstreamTls) -> ssl.SSLContext:
    """What connections to the model server are made with, of the files as they are now.

    Raises ConfigError.
    """
    for path in files_of(tls):
        try:
            path.open("rb").close()
        except OSError as error:
            problem = f"{describe_os_error(error)}: {str(path)!r}"
            raise ConfigError([f"proxy.upstream_tls: {problem}"]) from None
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.minimum_version = TLS_VERSIONS[tls.min_version]
        if tls.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except OSError as error:
        raise ConfigError([f"proxy.upstream_tls: {reason_of(error)}"]) from None
    return context


def files_of(tls: UpstreamTls) -> Sequence[Path]:
    named = (tls.ca_file, tls.cert_file, tls.key_file)
    return [path for path in named if path is not None]


def reason_of(error: BaseException) -> str:
    """Why a connection couldn't be made, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and (reason := getattr(error, "reason", None)):
        return str(reason).lower().replace("_", " ")
    return (getattr(error, "strerror", None) or str(error)).lower()

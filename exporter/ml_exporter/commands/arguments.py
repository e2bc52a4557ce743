"""What the command line takes: commands, flags, and what they say of themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from ml_exporter import __version__
from ml_exporter.commands import logs
from ml_exporter.config.proxy_settings import DEFAULT_FILE, Endpoint, parse_upstream
from ml_exporter.config.units import parse_address, parse_duration

_Parsed = TypeVar("_Parsed")
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command_line() -> argparse.ArgumentParser:
    """`command` of what it parses is the command's name, and `parser` its own parser."""
    parser = argparse.ArgumentParser(
        prog="ml-exporter",
        description="Performance, drift and integrity of models in production, for Prometheus.",
    )
    parser.add_argument("--version", action="version", version=f"ml-exporter {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_run(commands)
    _add_baseline(commands)
    _add_check(commands)
    _add_report(commands)
    return parser


def _command(commands: _Commands, name: str, help: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
    parser.set_defaults(command=name, parser=parser)
    group = parser.add_argument_group("logging")
    group.add_argument(
        "--log.level",
        dest="log_level",
        choices=logs.LEVELS,
        default="info",
        help="the least severe lines to log (default: %(default)s)",
    )
    group.add_argument(
        "--log.format",
        dest="log_format",
        choices=("logfmt", "json"),
        default="logfmt",
        help="how log lines are written (default: %(default)s)",
    )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config.file",
        dest="config_file",
        metavar="FILE",
        default=DEFAULT_FILE,
        help="the configuration (default: %(default)s)",
    )


def _add_web(parser: argparse.ArgumentParser, first_scrape_wait: str) -> None:
    group = parser.add_argument_group("web")
    group.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="ADDRESS",
        type=_address,
        default=":10058",
        help="where to serve metrics and the status page (default: %(default)s)",
    )
    group.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        help="TLS and users, in the format of Prometheus' exporter-toolkit",
    )
    group.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=_path,
        default="/metrics",
        help="where the metrics are (default: %(default)s)",
    )
    group.add_argument(
        "--web.first-scrape-wait",
        dest="first_scrape_wait",
        metavar="DURATION",
        type=_duration,
        default=_duration(first_scrape_wait),
        help="how long new series wait at 0 for two scrapes before their rows are counted; "
        f"0 waits for none (default: {first_scrape_wait})",
    )


def _add_demo(commands: _Commands) -> None:
    parser = _command(
        commands,
        "demo",
        "a real model, live traffic that begins to drift, and the exporter that watches it",
    )
    _add_web(parser, first_scrape_wait="0s")


def _add_run(commands: _Commands) -> None:
    parser = _command(commands, "run", "watch models, and expose what they do as metrics")
    _add_config(parser)
    parser.add_argument(
        "--once",
        action="store_true",
        help="read every log to its end, write the metrics, and exit",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="with --once: where to write the metrics; - is stdout (default: -)",
    )
    _add_web(parser, first_scrape_wait="1m")
    _add_proxy(parser)


def _add_proxy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("proxy")
    group.add_argument(
        "--proxy.upstream",
        dest="upstream",
        metavar="URL",
        type=_upstream,
        help="the model server that requests are forwarded to, such as http://127.0.0.1:8080; "
        "without a configuration file, its models are found by what they answer",
    )
    group.add_argument(
        "--proxy.listen-address",
        dest="proxy_listen_address",
        metavar="ADDRESS",
        type=_address,
        help="where to take requests for the model server (default: :10059)",
    )
    group.add_argument(
        "--proxy.web.config.file",
        dest="proxy_web_config",
        metavar="FILE",
        type=Path,
        help="TLS, users and headers for clients of the model server, like --web.config.file",
    )
    group.add_argument(
        "--role",
        choices=("proxy", "telemetry"),
        help="run one plane alone, beside the other in a container of its own",
    )


def _add_baseline(commands: _Commands) -> None:
    parser = _command(
        commands, "baseline", "profile training or reference data into a baseline file"
    )
    _add_config(parser)
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="the model in the configuration; needed where there are several",
    )
    parser.add_argument(
        "--input",
        metavar="DATA",
        required=True,
        help="a file or glob: JSON Lines, CSV, TSV, Parquet or Arrow",
    )
    parser.add_argument(
        "--output", metavar="FILE", default="-", help="the baseline; - is stdout (default: -)"
    )
    parser.add_argument(
        "--format",
        choices=("ml-exporter", "sagemaker"),
        default="ml-exporter",
        help="sagemaker: statistics.json and constraints.json, in the folder --output "
        "(default: %(default)s)",
    )


def _add_report(commands: _Commands) -> None:
    parser = _command(
        commands, "report", "judge finished logs against the baseline once, as the alerts would"
    )
    _add_config(parser)
    parser.add_argument(
        "--model", metavar="NAME", help="the model to judge; all, where it is not said"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "html", "sagemaker"),
        default="text",
        help="how it is written; sagemaker: Model Monitor's constraint_violations.json "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--output", metavar="FILE", default="-", help="the report; - is stdout (default: -)"
    )


def _add_check(commands: _Commands) -> None:
    parser = _command(commands, "check", "validate the configuration and every file it names")
    _add_config(parser)


def _parsed(parse: Callable[[str], _Parsed], text: str) -> _Parsed:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _address(text: str) -> str:
    _parsed(parse_address, text)
    return text


def _upstream(text: str) -> Endpoint:
    return _parsed(parse_upstream, text)


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} must begin with a slash")
    return text


def _duration(text: str) -> float:
    return _parsed(parse_duration, text)

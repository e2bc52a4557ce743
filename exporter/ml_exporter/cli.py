"""The command line."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ml_exporter import __version__, logs, memory
from ml_exporter.proxy_settings import DEFAULT_FILE, Endpoint, ProxyFlags, parse_upstream
from ml_exporter.units import parse_address, parse_duration

if TYPE_CHECKING:
    from ml_exporter.planes import Plan

_Parsed = TypeVar("_Parsed")

_DONE, _BAD_INPUT, _ALARMS = 0, 1, 3  # argparse exits with 2 on wrong usage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    logs.configure(options.log_level, options.log_format)
    memory.keep_freed()
    memory.look_seldom()
    try:
        code = int(options.command(options))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away; the interpreter would complain of it once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BAD_INPUT
    return code


def _parser() -> argparse.ArgumentParser:
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


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
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


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "demo",
        "a real model, live traffic that begins to drift, and the exporter that watches it",
    )
    _add_web(parser, first_scrape_wait="0s")
    parser.set_defaults(command=_demo)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    parser.set_defaults(command=_run, parser=parser)


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


def _add_baseline(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    parser.set_defaults(command=_baseline, parser=parser)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    parser.set_defaults(command=_report)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "check", "validate the configuration and every file it names")
    _add_config(parser)
    parser.set_defaults(command=_check)


def _run(options: argparse.Namespace) -> int:
    if not options.once:
        if options.output is not None:
            options.parser.error("--output goes with --once")
        return _run_planes(options)
    if options.upstream is not None or options.role is not None:
        options.parser.error("--once has no proxy")
    from ml_exporter.baseline import BaselineError
    from ml_exporter.config import ConfigError, load
    from ml_exporter.once import run_once

    try:
        config = load(options.config_file)
        _say_notes(config.notes)
        samples, errors = run_once(config)
    except (ConfigError, BaselineError) as error:
        return _fail(str(error))
    code = _write(options.output or "-", samples)
    for path, problem in errors.items():
        code = _fail(f"{path}: {problem}")
    return code


def _run_planes(options: argparse.Namespace) -> int:
    from ml_exporter.capture import CaptureError
    from ml_exporter.config import ConfigError
    from ml_exporter.planes import find_plan
    from ml_exporter.supervised import let_the_proxy_go_first

    try:
        flags = ProxyFlags(options.upstream, options.proxy_listen_address, options.proxy_web_config)
        plan = find_plan(options.config_file, flags, options.role)
        if options.role == "proxy":
            return _forward(plan)
        if options.role == "telemetry":
            let_the_proxy_go_first()
        if options.role == "telemetry" or plan.settings is None:
            return _serve(options, plan)
        from ml_exporter.supervisor import supervise

        _say_notes(plan.notes)
        return supervise(options.arguments, plan.settings.buffer, plan.patience)
    except (ConfigError, CaptureError) as error:
        return _fail(str(error))


def _forward(plan: Plan) -> int:
    from ml_exporter.proxy.plane import ProxyError

    try:
        plan.run_proxy()
    except ProxyError as error:
        return _fail(str(error))
    return _DONE


def _serve(options: argparse.Namespace, plan: Plan) -> int:
    from ml_exporter.baseline import BaselineError
    from ml_exporter.config import ConfigError
    from ml_exporter.service import Service, Settings
    from ml_exporter.state_folder import StateError
    from ml_exporter.web.server import ListenError

    settings = Settings(
        config_file=plan.config_file,
        config=plan.config,
        attachment=plan.attachment(),
        proxy_flags=plan.flags,
        listen_address=options.listen_address,
        web_config_file=options.web_config_file,
        telemetry_path=options.telemetry_path,
        first_scrape_wait=options.first_scrape_wait,
    )
    try:
        service = Service(settings)
    except (ConfigError, BaselineError, StateError, ListenError, OSError) as error:
        return _fail(str(error))
    try:
        service.run()
    except StateError as error:
        return _fail(str(error))
    return _DONE


def _baseline(options: argparse.Namespace) -> int:
    from ml_exporter.baseline import BaselineError, encode
    from ml_exporter.config import ConfigError, format_of, load
    from ml_exporter.training import describe_for_sagemaker, profile

    if options.format == "sagemaker" and options.output == "-":
        options.parser.error("--format=sagemaker writes two files: name a folder with --output")
    try:
        config = load(options.config_file)
        models = {model.name: model for model in config.models}
        name = options.model or (next(iter(models)) if len(models) == 1 else None)
        if name not in models:
            said = f"no model {name!r}" if name else "--model is needed"
            return _fail(f"{options.config_file}: {said}; there are {', '.join(models)}")
        format = format_of(options.input, models[name].source.format)
        with _progress() as progress:
            read = (models[name], config.limits, options.input, format, progress)
            if options.format == "sagemaker":
                made, files, rejected = describe_for_sagemaker(*read)
            else:
                made, rejected = profile(*read)
                files = {}
    except (ConfigError, BaselineError) as error:
        return _fail(str(error))
    if code := _write_all(options.output, files) if files else _write(options.output, encode(made)):
        return code
    classes = f", {len(made.classes)} classes" if made.classes else ""
    print(
        f"{name}: baseline {made.id} of {made.rows} rows and {len(made.fields)} fields{classes}",
        file=sys.stderr,
    )
    for reason, rows in sorted(rejected.items()):
        print(f"{name}: {rows} rows rejected: {reason}", file=sys.stderr)
    return _DONE


def _check(options: argparse.Namespace) -> int:
    from ml_exporter.check import check
    from ml_exporter.config import ConfigError, load

    try:
        config = load(options.config_file)
    except ConfigError as error:
        return _fail(str(error))
    _say_notes(config.notes)
    report = check(config)
    for line in report.lines:
        print(line)
    for text in report.errors:
        _fail(text)
    return _BAD_INPUT if report.errors else _DONE


def _report(options: argparse.Namespace) -> int:
    from ml_exporter.baseline import BaselineError
    from ml_exporter.config import ConfigError, load
    from ml_exporter.report import FORMATS, judge_logs
    from ml_exporter.report.text import plain

    try:
        config = load(options.config_file)
        _say_notes(config.notes)
        if options.model is not None:
            models = tuple(model for model in config.models if model.name == options.model)
            if not models:
                names = ", ".join(model.name for model in config.models)
                said = f"no model {options.model!r}; there are {names}"
                return _fail(f"{options.config_file}: {said}")
            config = replace(config, models=models)
        with _progress() as progress:
            report = judge_logs(config, progress)
    except (ConfigError, BaselineError) as error:
        return _fail(str(error))
    text = FORMATS[options.format](report)
    encoding = "utf-8"
    if options.format == "text" and options.output == "-":
        encoding = sys.stdout.encoding
        if codecs.lookup(encoding).name != "utf-8":
            text = plain(text)
    code = _write(options.output, text.encode(encoding, "backslashreplace"))
    _say_notes(list(report.notes()))
    for path, problem in report.unread.items():
        code = _fail(f"{path}: {problem}")
    return code or (_ALARMS if report.alarms else _DONE)


def _demo(options: argparse.Namespace) -> int:
    from ml_exporter.demo.run import demonstrate

    return demonstrate(
        options.listen_address,
        options.web_config_file,
        options.telemetry_path,
        options.first_scrape_wait,
    )


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how many rows were read, until it is done."""

    def show(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    try:
        yield lambda rows: show(f"{rows} rows read")
    finally:
        show("\x1b[K")  # as if nothing had been written


def _say_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(note, file=sys.stderr)


def _write(path: str, data: bytes) -> int:
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return _DONE
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        return _fail(f"{path}: {(error.strerror or str(error)).lower()}")
    return _DONE


def _write_all(folder: str, files: Mapping[str, bytes]) -> int:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _fail(f"{folder}: {(error.strerror or str(error)).lower()}")
    return max(_write(str(Path(folder, name)), data) for name, data in files.items())


def _fail(text: str) -> int:
    print(text, file=sys.stderr)
    return _BAD_INPUT


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


if __name__ == "__main__":
    sys.exit(main())

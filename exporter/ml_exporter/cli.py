"""The commands, and what they answer."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_exporter.commands import compiled, logs, memory
from ml_exporter.commands.arguments import command_line
from ml_exporter.config.proxy_settings import ProxyFlags

if TYPE_CHECKING:
    from ml_exporter.service.planes import Plan

_DONE, _BAD_INPUT, _ALARMS = 0, 1, 3  # argparse exits with 2 on wrong usage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = command_line().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    logs.configure(options.log_level, options.log_format)
    memory.keep_freed()
    memory.look_seldom()
    try:
        code = _COMMANDS[options.command](options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away; the interpreter would complain of it once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BAD_INPUT
    return code


def _run(options: argparse.Namespace) -> int:
    from ml_exporter.service.supervised import is_supervised

    if not is_supervised():
        compiled.warn_of_missing()
    if not options.once:
        if options.output is not None:
            options.parser.error("--output goes with --once")
        return _run_planes(options)
    if options.upstream is not None or options.role is not None:
        options.parser.error("--once has no proxy")
    from ml_exporter.baseline.baseline import BaselineError
    from ml_exporter.commands.once import run_once
    from ml_exporter.config.config import ConfigError, load

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
    from ml_exporter.config.config import ConfigError
    from ml_exporter.service.planes import find_plan
    from ml_exporter.service.supervised import let_the_proxy_go_first

    try:
        flags = ProxyFlags(options.upstream, options.proxy_listen_address, options.proxy_web_config)
        plan = find_plan(options.config_file, flags, options.role)
        if options.role == "proxy":
            return _forward(plan)
        if options.role == "telemetry":
            let_the_proxy_go_first()
        if options.role == "telemetry" or plan.settings is None:
            return _serve(options, plan)
        from ml_exporter.service.supervisor import supervise

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
    from ml_exporter.baseline.baseline import BaselineError
    from ml_exporter.config.config import ConfigError
    from ml_exporter.service.service import Service, Settings
    from ml_exporter.store.state_folder import StateError
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
    from ml_exporter.baseline.baseline import BaselineError, encode
    from ml_exporter.commands.training import describe_for_sagemaker, format_of_data, profile
    from ml_exporter.config.config import ConfigError, load

    if options.format == "sagemaker" and options.output == "-":
        options.parser.error("--format=sagemaker writes two files: name a folder with --output")
    try:
        config = load(options.config_file)
        models = {model.name: model for model in config.models}
        name = options.model or (next(iter(models)) if len(models) == 1 else None)
        if name not in models:
            said = f"no model {name!r}" if name else "--model is needed"
            return _fail(f"{options.config_file}: {said}; there are {', '.join(models)}")
        format = format_of_data(models[name], options.input)
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
    from ml_exporter.commands.check import check
    from ml_exporter.config.config import ConfigError, load

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
    from ml_exporter.baseline.baseline import BaselineError
    from ml_exporter.config.config import ConfigError, load
    from ml_exporter.report import FORMATS, judge_logs
    from ml_exporter.report.text import ending, plain

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
    if options.output != "-" and code == _DONE:
        print(f"{options.output}: {ending(report)}", file=sys.stderr)
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


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "demo": _demo,
    "run": _run,
    "baseline": _baseline,
    "check": _check,
    "report": _report,
}

if __name__ == "__main__":
    sys.exit(main())

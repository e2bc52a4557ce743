"""A YAML file as its root node.

Whatever keeps a file from being read is a ConfigError with the name of the file as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import yaml

from ml_exporter.config.yaml_nodes import ConfigError, Document, Node, RawNode


def read_yaml(path: str, environment: Mapping[str, str] | None = None) -> Node | None:
    """The root of a file; None if there is nothing in it.

    Raises ConfigError where it can't be read or isn't YAML.
    """
    text = _read_text(path)
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_error(path, error)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        text = f"the character U+{error.character:04X} is not allowed in YAML"
        raise ConfigError([f"{path}:{line}: {text}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested too deeply"]) from None
    if root is None or root.tag == "tag:yaml.org,2002:null":
        return None
    return Node(Document(path, environment), "", root.start_mark.line + 1, cast(RawNode, root))


def _read_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ConfigError([f"{path}: {describe_os_error(error)}"]) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [f"{path}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8"]
        ) from None


def describe_os_error(error: OSError) -> str:
    """Why a file can't be read, without its name and number."""
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "is a directory, not a file"
        case PermissionError():
            return "no permission to read it"
    return (error.strerror or "can't be read").lower()


def _syntax_error(path: str, error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "is not YAML"
    mark = error.problem_mark or error.context_mark
    if "end of stream" in problem or "<stream end>" in problem:
        mark = error.context_mark  # where that began of which the end is missing
    line = mark.line + 1 if mark is not None else 1
    if "'\\t'" in problem:
        return f"{path}:{line}: a tab can't indent YAML; use spaces"
    if problem == "but found another document":
        return f"{path}:{line}: a second document begins; a file has one"
    if error.context is not None and error.context_mark is not None:
        problem += f" ({error.context}, line {error.context_mark.line + 1})"
    return f"{path}:{line}: {problem}"

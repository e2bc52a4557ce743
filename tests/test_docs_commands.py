"""docs/commands.md has every command and flag, and no other."""

import argparse
import re

from ml_exporter.commands.arguments import command_line
from tests.support import ROOT

PAGE = (ROOT / "docs/commands.md").read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in command_line()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_every_command_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(commands())


def test_every_flag_is_on_the_page_with_its_default() -> None:
    flags = {
        (option, action.default)
        for parser in commands().values()
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    rows = re.findall(r"^\| `(--[\w.-]+)` \|([^|]*)\|", PAGE, re.MULTILINE)
    assert {option for option, _ in rows} == {option for option, _ in flags}
    for option, default in flags:
        if isinstance(default, str):
            told = [text for name, text in rows if name == option and f"`{default}`" in text]
            assert told, (option, default)

"""docs/commands.md has every command and flag, and no other."""

import argparse
import re

from ml_exporter.cli import _parser
from tests.support import ROOT

PAGE = (ROOT / "docs/commands.md").read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_every_command_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(commands())


def test_every_flag_is_on_the_page_with_its_default() -> None:
    flags = {
        option: action
        for parser in commands().values()
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    rows = dict(re.findall(r"^\| `(--[\w.-]+)` \|([^|]*)\|", PAGE, re.MULTILINE))
    assert rows.keys() == flags.keys()
    for option, action in flags.items():
        if isinstance(action.default, str):
            assert f"`{action.default}`" in rows[option], option

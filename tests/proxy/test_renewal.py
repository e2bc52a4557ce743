"""What is made of two files, of which one names the other."""

import os
from pathlib import Path

import pytest

from ml_exporter.config.config import ConfigError
from ml_exporter.proxy.renewal import Renewal

Made = tuple[str, Path]


@pytest.fixture
def renewal(tmp_path: Path) -> Renewal[Made]:
    replace(tmp_path / "name", "one")
    replace(tmp_path / "one", "1")

    def make(before: Made | None) -> Made:
        file = tmp_path / (tmp_path / "name").read_text()
        text = file.read_text()
        if text == "bad":
            raise ConfigError(["it is bad"])
        return text, file

    return Renewal("it", make, lambda made: [tmp_path / "name", made[1]])


def replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def test_a_file_that_is_replaced_makes_something_new(
    renewal: Renewal[Made], tmp_path: Path
) -> None:
    assert not renewal.renew()
    replace(tmp_path / "one", "2")
    assert renewal.renew()
    assert renewal.made[0] == "2"
    assert not renewal.renew()


def test_files_that_are_named_anew_are_looked_at(renewal: Renewal[Made], tmp_path: Path) -> None:
    replace(tmp_path / "two", "3")
    replace(tmp_path / "name", "two")
    assert renewal.renew()
    replace(tmp_path / "one", "9")
    assert not renewal.renew()
    replace(tmp_path / "two", "4")
    assert renewal.renew()
    assert renewal.made[0] == "4"


@pytest.mark.parametrize("broken", ["bad", None])
def test_what_can_t_be_used_is_said_once_and_changes_nothing(
    broken: str | None, renewal: Renewal[Made], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if broken is None:
        (tmp_path / "one").unlink()
    else:
        replace(tmp_path / "one", broken)
    for _ in range(3):
        assert not renewal.renew()
    assert renewal.made[0] == "1"
    assert [record.message for record in caplog.records] == ["it can't be renewed yet"]
    replace(tmp_path / "one", "5")
    assert renewal.renew()
    assert renewal.made[0] == "5"


def test_what_is_replaced_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    replace(tmp_path / "one", "1")

    def make(before: str | None) -> str:
        text = (tmp_path / "one").read_text()
        if text == "2":
            replace(tmp_path / "one", "3")
        return text

    made = Renewal("it", make, lambda _: [tmp_path / "one"])
    replace(tmp_path / "one", "2")
    assert [made.renew(), made.renew(), made.renew()] == [True, True, False]
    assert made.made == "3"

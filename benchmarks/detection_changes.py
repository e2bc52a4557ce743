"""Windows of real rows, as they are or changed in one way: the same for every tool by their seed.

Needs NumPy and pandas alone, so that peers can draw the same windows in an interpreter of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

UNSEEN_NAME = "a name never seen"
_CORRELATED = 0.3  # by the absolute rank correlation with another number
_ROOM = 0.9  # the most that a category's share may be, for it to grow by some points


@dataclass(frozen=True)
class About:
    """What changes need to know of a data set: computed once, of the baseline."""

    name: str
    numbers: list[str]
    categories: list[str]
    deviations: dict[str, float]  # of the numbers that can be moved
    correlated: list[str]  # the numbers that go with another one
    commonest: dict[str, str]  # category by category field, where there is room for more of it


@dataclass(frozen=True)
class Pool:
    """The rows that windows are drawn from, those that the baseline doesn't have."""

    about: About
    features: pd.DataFrame
    label: NDArray[np.bool_]
    group: NDArray[np.intp]  # the sub-population that each row belongs to

    def save(self, folder: Path) -> None:
        (folder / "about.json").write_text(json.dumps(asdict(self.about)))
        frame = self.features.assign(**{"<label>": self.label, "<group>": self.group})
        write(frame, folder / "pool.csv")

    @staticmethod
    def load(folder: Path) -> Pool:
        about = About(**json.loads((folder / "about.json").read_text()))
        frame = read(folder / "pool.csv", about)
        label, group = (frame.pop(name).to_numpy() for name in ("<label>", "<group>"))
        return Pool(about, frame, label.astype(bool), group)


def write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False)


def read(path: Path, about: About) -> pd.DataFrame:
    """A frame as it was, numbers to the last digit."""
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(about.categories, object) | dict.fromkeys(about.numbers, float),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
    )


def describe(name: str, baseline: pd.DataFrame) -> About:
    categories = [column for column in baseline if baseline[column].dtype == object]
    numbers = [column for column in baseline if column not in categories]
    movable = [column for column in numbers if baseline[column].nunique() > 20]
    related = baseline[numbers].rank().corr().abs().to_numpy(copy=True)
    np.fill_diagonal(related, 0)
    strongest = np.nanmax(related, axis=0)
    least = min(_CORRELATED, float(strongest.max()))
    return About(
        name,
        numbers,
        categories,
        {column: float(baseline[column].std()) for column in movable},
        [column for column, one in zip(numbers, strongest, strict=True) if one >= least],
        {
            column: str(baseline[column].mode()[0])
            for column in categories
            if baseline[column].value_counts(normalize=True).iloc[0] < _ROOM
        },
    )


@dataclass(frozen=True)
class Drawn:
    """A window to be changed, in place; `number` says which of the fields it is done to."""

    pool: Pool
    frame: pd.DataFrame
    number: int
    random: np.random.Generator

    def some(self, share: float) -> NDArray[np.intp]:
        """Rows, each with this chance."""
        return np.flatnonzero(self.random.random(len(self.frame)) < share)

    def exactly(self, share: float, among: NDArray[np.bool_]) -> NDArray[np.intp]:
        """So many of the window's rows, of those that are `among`, or all that are."""
        rows = np.flatnonzero(among)
        count = min(round(share * len(self.frame)), rows.size)
        return self.random.choice(rows, count, replace=False)

    def one_of(self, fields: list[str]) -> str:
        return fields[self.number % len(fields)]

    def move(self, scale: float, shift: float) -> None:
        """Of one number: what is whole stays whole, rounded up or down by chance."""
        name = self.one_of([*self.pool.about.deviations])
        values, of_pool = self.frame[name].to_numpy(), self.pool.features[name]
        middle, deviation = of_pool.mean(), self.pool.about.deviations[name]
        moved = middle + (values - middle) * scale + shift * deviation
        if (of_pool.dropna() % 1 == 0).all():
            moved = np.floor(moved + self.random.random(len(values)))
        self.frame[name] = moved

    def add_to_category(self, points: float) -> None:
        name = self.one_of([*self.pool.about.commonest])
        commonest = self.pool.about.commonest[name]
        others = (self.pool.features[name] != commonest).mean()
        grown = self.some(points / others)
        self.frame.loc[grown, name] = commonest

    def lose(self, points: float) -> None:
        name = self.one_of([*self.frame])
        known = self.pool.features[name].notna().mean()
        self.frame.loc[self.some(points / known), name] = None

    def lose_exactly(self, points: float) -> None:
        name = self.one_of([*self.frame])
        known = self.frame[name].notna().to_numpy()
        self.frame.loc[self.exactly(points, known), name] = None

    def part(self, share: float) -> None:
        """Exchange the values of one number among rows: its distribution stays as it was."""
        name = self.one_of(self.pool.about.correlated)
        rows = self.some(share)
        values = self.frame[name].to_numpy(copy=True)
        values[rows] = values[self.random.permutation(rows)]
        self.frame[name] = values

    def replace_by_group(self, share: float) -> None:
        groups = np.unique(self.pool.group)
        members = np.flatnonzero(self.pool.group == groups[self.number % groups.size])
        rows = self.some(share)
        others = self.pool.features.iloc[self.random.choice(members, rows.size)]
        self.frame.iloc[rows] = others.to_numpy()

    def unseen(self, share: float) -> None:
        self.frame.loc[self.some(share), self.one_of(self.pool.about.categories)] = UNSEEN_NAME

    def unseen_exactly(self, share: float) -> None:
        rows = self.exactly(share, np.ones(len(self.frame), dtype=bool))
        self.frame.loc[rows, self.one_of(self.pool.about.categories)] = UNSEEN_NAME


CHANGES: Mapping[str, Callable[[Drawn], None]] = {
    "no change": lambda drawn: None,
    "mean 0.1 sd": lambda drawn: drawn.move(1, 0.1),
    "mean 0.25 sd": lambda drawn: drawn.move(1, 0.25),
    "scale 1.25": lambda drawn: drawn.move(1.25, 0),
    "category 5 points": lambda drawn: drawn.add_to_category(0.05),
    "missing 2 points": lambda drawn: drawn.lose(0.02),
    "correlation, 30 % of rows": lambda drawn: drawn.part(0.3),
    "correlation, all rows": lambda drawn: drawn.part(1),
    "sub-population 10 %": lambda drawn: drawn.replace_by_group(0.1),
    "unseen category 2 %": lambda drawn: drawn.unseen(0.02),
    "classes 15 points": lambda drawn: None,  # of the label: by which rows are drawn
}

EXACT: Mapping[str, Callable[[Drawn], None]] = {
    "missing, exactly 2 %": lambda drawn: drawn.lose_exactly(0.02),
    "unseen category, exactly 2 %": lambda drawn: drawn.unseen_exactly(0.02),
}
"""The same as in `CHANGES`, by counts in place of chances."""

_EVERY = {**CHANGES, **EXACT}
_FEW_ROWS = 200  # in more of them, a share hardly varies


def changes(rows: int) -> list[str]:
    """What is done to windows of so many rows."""
    return [*CHANGES, *(EXACT if rows <= _FEW_ROWS else ())]


def window(pool: Pool, change: str, rows: int, number: int) -> pd.DataFrame:
    """So many rows of a pool, changed; windows of equal arguments are equal."""
    random = np.random.default_rng([number, rows, [*_EVERY].index(change)])
    if change == "classes 15 points":
        share = pool.label.mean()
        wanted = share + (0.15 if share < 0.5 else -0.15)
        of_class = random.binomial(rows, wanted)
        drawn = np.concatenate(
            [
                random.choice(np.flatnonzero(pool.label == value), count)
                for value, count in ((True, of_class), (False, rows - of_class))
            ]
        )
    else:
        drawn = random.choice(len(pool.features), rows, replace=False)
    frame = pool.features.iloc[drawn].reset_index(drop=True)
    _EVERY[change](Drawn(pool, frame, number, random))
    return frame

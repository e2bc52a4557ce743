"""How often a signal leaves its band with no change, and how often a drop takes it out.

`python benchmarks/anomalies.py [--series=N]`: the accuracy of simulated traffic, less of it by
night, over five weeks, judged every twenty minutes by the twins of the rules. The alert fires where
two looks in a row are outside the band.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from numpy.typing import NDArray

from ml_exporter.rules.signals import LEAST_HOURS, WEEKS
from ml_exporter.statistics import signals
from ml_exporter.statistics.significance import Z_95

Floats = NDArray[np.float64]

HOUR = 3  # looks
DAY, WEEK = 24 * HOUR, 168 * HOUR
LAGS = {
    "day": ([DAY * number for number in range(1, 8)], 3),
    "week": ([WEEK * number for number in range(1, WEEKS + 1)], 1),
}
SCENARIOS = ("steady", "daily season", "weekends differ", "scatters")
SIMULATED = 5  # weeks


def wilson(hits: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """`intervals.wilson` of arrays; NaN without rows."""
    n = np.where(rows > 0, rows, np.nan)
    spread = Z_95 * np.sqrt(hits * (n - hits) / n + Z_95**2 / 4)
    ends = (hits + Z_95**2 / 2 - spread, hits + Z_95**2 / 2 + spread)
    return np.clip(ends[0] / (n + Z_95**2), 0, 1), np.clip(ends[1] / (n + Z_95**2), 0, 1)


def outside(scores: Floats, variances: Floats) -> NDArray[np.bool_]:
    """Whether each look of each series is outside its band; arrays of shape (looks, series)."""
    looks, series = scores.shape
    missing = np.full(series, np.nan)
    learned, around, sampling = (np.full((looks, series), np.nan) for _ in range(3))
    excess = {season: np.full((looks, series), np.nan) for season in LAGS}
    found = np.zeros((looks, series), bool)
    for now in range(looks):
        # The hour about an earlier look, of which half was before and half after.
        about = now - HOUR // 2 - 1
        if about >= 0:
            hour = slice(max(0, about - HOUR // 2), about + HOUR // 2 + 1)
            around[about] = np.nanmedian(learned[hour], axis=0)
            sampling[about] = np.nanmean(variances[hour], axis=0)
        lower, upper, usual = np.full(series, np.inf), np.full(series, -np.inf), {}
        for season, (lags, least) in LAGS.items():
            earlier = [now - lag for lag in lags if now >= lag]
            middles = np.array([around[at] for at in earlier] or [missing])
            count = np.sum(~np.isnan(middles), axis=0)
            middle = np.where(count >= least, np.nanmedian(middles, axis=0), np.nan)
            of_middles = np.array([sampling[at] for at in earlier] or [missing])
            variance = variances[now] + signals.middle_variance(of_middles.T)
            week = excess[season][:now][::-HOUR][:168]
            known = (np.sum(~np.isnan(week), axis=0) >= LEAST_HOURS) & ~np.all(
                np.isnan(week[24:]), axis=0
            )
            usual[season] = np.where(known, np.nanmedian(week, axis=0), np.nan) if now else missing
            half = signals.half_width(variance, usual[season])
            lower, upper = np.fmin(lower, middle - half), np.fmax(upper, middle + half)
            if season == "week":
                unknown = np.isnan(middle - half)
                lower[unknown], upper[unknown] = np.nan, np.nan
            excess[season][now] = signals.excess(scores[now], middle, variance)
        found[now] = (scores[now] < lower) | (scores[now] > upper)
        learned[now] = signals.clip(scores[now], lower, upper)
        for season, of_season in excess.items():
            of_season[now, found[now]] = usual[season][found[now]]
    return found


def simulate(
    rows_an_hour: int, scenario: str, series: int, accuracy: float = 0.95, drop: float = 0.0
) -> NDArray[np.bool_]:
    """The same of simulated traffic, whose accuracy drops on the last day."""
    random = np.random.default_rng([rows_an_hour, SCENARIOS.index(scenario)])
    looks = SIMULATED * WEEK
    hours = np.arange(looks)[:, None] / HOUR
    rhythm = np.sin(2 * np.pi * hours / 24)
    rows = random.poisson(rows_an_hour / HOUR * (1 + 0.8 * rhythm), (looks, series))
    logit = np.full((looks, series), np.log(accuracy / (1 - accuracy)))
    if scenario == "daily season":
        logit += 0.5 * rhythm
    elif scenario == "weekends differ":
        logit -= hours // 24 % 7 >= 5
    elif scenario == "scatters":  # for hours on end
        keep = np.exp(-1 / (3 * HOUR))
        noise = random.normal(0, 0.2, (looks, series))
        for look in range(1, looks):
            noise[look] = keep * noise[look - 1] + np.sqrt(1 - keep**2) * noise[look]
        logit += noise
    share = 1 / (1 + np.exp(-logit))
    share[-DAY:] -= drop
    hits = random.binomial(rows, share)
    of_hour = ((sums := np.cumsum(counts, axis=0))[HOUR:] - sums[:-HOUR] for counts in (hits, rows))
    return outside(*signals.score(*wilson(*(one.astype(float) for one in of_hour)), "share"))


def alerts(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return found[1:] & found[:-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=100)
    series = parser.parse_args().series
    warnings.simplefilter("ignore", RuntimeWarning)  # medians of nothing are NaN
    weeks = SIMULATED - 1
    print(f"No change: % of {weeks * series} weeks with an alert, after the first week\n")
    print("labels an hour   " + "".join(f"{scenario:>18}" for scenario in SCENARIOS))
    for rows_an_hour in (50, 1000, 20_000):
        shares = []
        for scenario in SCENARIOS:
            fired = alerts(simulate(rows_an_hour, scenario, series))[-weeks * WEEK :]
            by_week = fired.reshape(weeks, WEEK, series).any(axis=1)
            shares.append(by_week.mean())
        print(f"{rows_an_hour:14}   " + "".join(f"{share:18.2%}" for share in shares), flush=True)
    print("\nAccuracy falls from 0.95 to 0.90: % of series with an alert within three hours\n")
    for rows_an_hour in (50, 1000, 2000, 5000):
        fired = alerts(simulate(rows_an_hour, "steady", series, drop=0.05))
        within = fired[-DAY : -DAY + 3 * HOUR].any(axis=0)
        print(f"{rows_an_hour:14}   {within.mean():18.0%}", flush=True)


if __name__ == "__main__":
    main()

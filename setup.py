"""The parts in C; all else is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "ml_exporter.formats._scanner",
            ["exporter/ml_exporter/formats/_scanner.c"],
            extra_compile_args=["-O3", "-std=c11"],
        ),
        Extension(
            "ml_exporter.statistics._counting",
            ["exporter/ml_exporter/statistics/_counting.c"],
            extra_compile_args=["-O3", "-std=c11", "-ffp-contract=off", "-Wno-psabi"],
        ),
    ]
)

"""The parts in C; all else is in pyproject.toml."""

from setuptools import Extension, setup

OPTIONS = ["-O3", "-std=c11"]
# A row is in the same bin on every processor, whether or not it can multiply and add in one step.
OF_NUMBERS = ["-ffp-contract=off", "-Wno-psabi"]

setup(
    ext_modules=[
        Extension(
            f"ml_exporter.{name}",
            [f"exporter/ml_exporter/{name.replace('.', '/')}.c"],
            extra_compile_args=[*OPTIONS, *more],
            optional=True,  # without it, its twin in Python does the same
        )
        for name, more in (
            ("formats._pages", ["-Wno-psabi"]),
            ("formats._scanner", []),
            ("proxy._plain", []),
            ("statistics._counting", OF_NUMBERS),
        )
    ]
)

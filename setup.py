"""The optional extension; everything else is in pyproject.toml.

Without a C++ compiler the same installation succeeds without it, and XLA does all arithmetic. It
uses nothing of Python and is loaded by ctypes (`pccore.native`).
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "pccore.native._stack",
            ["pccore/native/stack_gradient.cpp"],
            depends=["pccore/native/tile.h"],
            include_dirs=["pccore/native"],
            language="c++",
            # -g0: with Python's own -g the library has ten times the size. No -ffast-math: NaN
            # marks a diverged run.
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-g0",
                "-ffp-contract=fast",
                "-fno-math-errno",
            ],
            optional=True,
        )
    ]
)

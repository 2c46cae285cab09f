"""Builds the C library next to the package. It is called with ctypes, so one wheel serves every Python."""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
SOURCES = "src/qimg_kernels/c"
FLAGS = ["-O3", "-g0", "-std=gnu11", "-fno-math-errno", "-fvisibility=hidden", "-Wno-psabi"]


class Library(build_ext):
    """A shared library without a Python version in its name."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"


class AnyPython(bdist_wheel):
    """py3-none-<platform>."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


names = sorted(p.name for p in (HERE / SOURCES).iterdir())
library = Extension(
    "qimg_kernels._library",
    sources=[f"{SOURCES}/{name}" for name in names if name.endswith(".c")],
    depends=[f"{SOURCES}/{name}" for name in names if name.endswith(".h")],
    extra_compile_args=FLAGS,
    libraries=["m"],
)
setup(ext_modules=[library], cmdclass={"build_ext": Library, "bdist_wheel": AnyPython})

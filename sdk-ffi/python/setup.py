"""What `pyproject.toml` cannot say: the wheel is good for one platform, and for every Python on it."""

import pathlib
import re

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

LIBRARY = pathlib.Path(__file__).parent / "hivesync" / "libhivesync_ffi.so"
# Versions of glibc that a library asks for by another name than their number.
NAMED = {b"ABI_DT_RELR": (2, 36)}


def glibc_min():
    """The oldest glibc that can load the library, by the versions of its symbols; none if it asks for none."""
    names = re.findall(rb"\0GLIBC_([0-9A-Z._]+)(?=\0)", LIBRARY.read_bytes()) if LIBRARY.exists() else []
    return max((NAMED.get(name) or tuple(map(int, name.split(b".")))[:2] for name in names), default=None)


class PlatformWheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        _, _, platform = super().get_tag()
        # A plain `linux` would be taken for one that every Linux can load.
        if platform.startswith("linux_") and (version := glibc_min()):
            platform = platform.replace("linux", "manylinux_{}_{}".format(*version), 1)
        return "py3", "none", platform


setup(cmdclass={"bdist_wheel": PlatformWheel})

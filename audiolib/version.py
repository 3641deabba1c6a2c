"""The installed version, read from the package's own metadata."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("audiolib-mlx")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

"""What pyproject.toml cannot say: the packages are found, and the presets beside them are one more."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["tune_seg", "tune_seg.*"]), "tune_seg.search_spaces"])

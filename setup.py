"""Installs the project: ``pip install -e .``, or ``pip install -e '.[test]'`` to run its tests."""

import pathlib

from setuptools import find_packages, setup

setup(
    name="gan-image-completion",
    version="0.1.0",
    description="Image completion (inpainting) with generative adversarial networks in TensorFlow",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["common*", "flags*", "glcic*", "wgan_inpaint*"]),
    package_data={
        "flags": ["papers/*.flags"],
        "glcic": ["shipped/**/*"],
        "wgan_inpaint": ["shipped/**/*"],
    },
    install_requires=[
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.7",
        "keras>=3.10",
        "numpy>=1.26",
        "opencv-python>=4.10",
        "absl-py>=2.1",
        "matplotlib>=3.8",
        "pillow>=10",
        # tensorflow-datasets imports it without asking for it.
        "importlib_resources",
    ],
    extras_require={
        "classical": ["scikit-image>=0.24", "scikit-learn>=1.5"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "scikit-image>=0.24",
            "scikit-learn>=1.5",
        ],
        "tensorboard": ["tensorboard>=2.20"],
    },
)

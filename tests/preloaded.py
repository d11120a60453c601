"""What a process has imported that runs tests, or that commands are forked off (``commands``)."""

import functools
import gc
import importlib
import pkgutil
import typing

from common import runtime

runtime.import_tensorflow()  # quietly

import cv2  # noqa: E402, F401
import keras  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import tensorflow_datasets  # noqa: E402, F401
from tensorflow.core.protobuf import rewriter_config_pb2  # noqa: E402
from tensorflow.python import pywrap_tfe  # noqa: E402
from tensorflow.python.eager import context  # noqa: E402
from tensorflow.python.framework import ops  # noqa: E402

import common  # noqa: E402
import glcic  # noqa: E402
import wgan_inpaint  # noqa: E402
from tests.commands import COMMANDS  # noqa: E402

for package in (common, glcic, wgan_inpaint):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in COMMANDS:  # they are run
            importlib.import_module(module.name)

_as_functions = pywrap_tfe.TFE_ContextOptionsSetRunEagerOpAsFunction
# Outside graphs TensorFlow makes a function of every operation of a new kind, which takes half a
# millisecond; the operation itself a thirtieth. Every process begins with hundreds of them.
pywrap_tfe.TFE_ContextOptionsSetRunEagerOpAsFunction = lambda options, _: _as_functions(
    options, False
)

_config = context.Context.config.fget


def _once(self):
    config = _config(self)
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return config


# Graphs are optimized by all of Grappler's passes, but not by all of them a second time.
context.Context.config = property(_once)

# Which line of Python made an operation is told in errors of TensorFlow and in debuggers. To look
# for it, through a hundred calls of pytest's and Keras's, is a sixth of what tracing a graph takes.
ops._create_c_op = functools.partial(ops._create_c_op, extract_traceback=False)

# TensorFlow asks of everything whether it has a tensor's attributes. Which those are, Python 3.11
# puts together each time, and later versions once.
if hasattr(typing, "_get_protocol_attrs"):
    typing._get_protocol_attrs = functools.cache(typing._get_protocol_attrs)

# Of those million objects none is ever freed: they are not to be looked at again, nor, in a fork,
# to be copied for that.
gc.freeze()

"""Timing compiled graphs, each in a process of its own, so that its memory is its own."""

import importlib
import multiprocessing
import platform
import resource
import signal
import statistics
import time

from common import runtime


def timed(call, repeats=5, warm_up=2):
    """Median seconds of ``call()``, which must wait for its result.

    Args:
      call: a function of no arguments.
      repeats: calls to measure.
      warm_up: calls before them, which trace and compile.
    """
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peak_mib():
    """Most memory that this process has held so far, in MiB: the GPU's, or resident memory."""
    tf = runtime.import_tensorflow()
    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _child(pipe, module, name, arguments):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C is the parent's to report
    try:
        runtime.import_tensorflow()
        function = getattr(importlib.import_module(module), name)
        pipe.send((function(*arguments), peak_mib()))
    except Exception as error:  # whatever it is, the parent shows it in the table
        pipe.send((None, f"{type(error).__name__}: {str(error).splitlines()[0]}"))


def in_own_process(function, *arguments):
    """Calls a module's function in a fresh process.

    Returns:
      (its result, that process's ``peak_mib``); (None, the error in one line) if it failed.
    """
    here, there = multiprocessing.Pipe()
    # By its name: unpickled, it would import TensorFlow, with all that this prints.
    place = function.__module__, function.__qualname__
    process = multiprocessing.get_context("spawn").Process(
        target=_child, args=(there, *place, arguments)
    )
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return None, "the process was killed (out of memory?)"
    except KeyboardInterrupt:
        process.kill()
        raise
    finally:
        process.join()


def print_row(*cells):
    """Prints a row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_head(what):
    """Prints what is measured, on which machine, and the head of ``print_measured``'s table."""
    tf = runtime.import_tensorflow()
    devices = tf.config.list_physical_devices("GPU") or [platform.processor() or "CPU"]
    print(f"{what} on {devices[0]}, TensorFlow {tf.__version__}\n")
    print_row("what", "precision", "XLA", "seconds", "images/s", "peak MiB")
    print_row(*["---"] * 6)


def print_measured(label, precision, xla, images, function, *arguments):
    """Measures ``function(precision, xla, *arguments)`` seconds, alone; prints a row.

    Args:
      label: what is measured.
      precision: "float32" or "bfloat16".
      xla: "on" or "off".
      images: that are done in these seconds.
      function: a module's function.
      *arguments: its further arguments.
    """
    seconds, memory = in_own_process(function, precision, xla, *arguments)
    if seconds is None:
        print_row(label, precision, xla, "failed", memory, "")
        return
    print_row(label, precision, xla, f"{seconds:.4f}", f"{images / seconds:.1f}", f"{memory:.0f}")

"""Runs the project's commands as a user would: a process, its exit code, its output.

Importing TensorFlow takes seconds, so ``run`` forks each process off one that has imported it and
done nothing else. ``run_alone`` starts Python anew.
"""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
import traceback
import unittest.mock
from multiprocessing import forkserver, resource_tracker

ROOT = pathlib.Path(__file__).resolve().parents[1]

COMMANDS = (
    "glcic.train",
    "glcic.complete",
    "glcic.export",
    "glcic.benchmark",
    "wgan_inpaint.train",
    "wgan_inpaint.complete",
    "wgan_inpaint.export",
    "wgan_inpaint.starts",
    "wgan_inpaint.promises",
    "wgan_inpaint.studies.conditions",
    "wgan_inpaint.studies.diversity",
    "wgan_inpaint.studies.variants",
    "wgan_inpaint.benchmark",
    "common.compare",
    "common.flicker",
)

OUTPUTS = ("stdout", "stderr")

_forked = multiprocessing.get_context("forkserver")
# Importing starts no thread of TensorFlow's: what is forked off afterwards is as good as new.
_forked.set_forkserver_preload(["tests.preloaded"])


def serve():
    """Forks off the process that all commands are forked off, as soon as everything is imported.

    If it is too late for that, as somebody has used TensorFlow already, that will be a new Python
    process, which imports everything once more.
    """
    threads = pathlib.Path("/proc/self/task")
    if not threads.is_dir() or len(list(threads.iterdir())) > len(sys._current_frames()):
        return  # some are not Python's, and would be missing in a fork
    resource_tracker.ensure_running()
    with unittest.mock.patch.object(multiprocessing.util, "spawnv_passfds", _fork):
        forkserver.ensure_running()


def _fork(path, arguments, files):
    """What ``spawnv_passfds`` does, with this process instead of a new interpreter."""
    del path
    if process := os.fork():
        return process
    try:
        # Not closed: what is opened next would be given their numbers, which others still write to.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in map(int, os.listdir("/dev/fd")):
            if number > 2 and number not in (nowhere, *files):
                os.dup2(nowhere, number, inheritable=False)
        # It gives modules to pytest, and to nobody their code.
        sys.meta_path[:] = [
            x for x in sys.meta_path if not type(x).__module__.startswith("_pytest")
        ]
        exec(arguments[-1], {})  # behind "-c"
    finally:
        os._exit(1)


def run(module, *arguments, cwd=ROOT, timeout=300, meanwhile=lambda process: None, eager=False):
    """Runs ``python -m module arguments`` in a fork of a process that has imported TensorFlow.

    Args:
      module: name of the command.
      *arguments: its flags.
      cwd: folder it runs in.
      timeout: seconds until it is killed and ``subprocess.TimeoutExpired`` raised.
      meanwhile: called with the process, a ``multiprocessing.Process``, once it runs.
      eager: train without tracing the steps, which takes longer than a few of them; for what does
        not depend on the graph, and trains what another test trains traced.

    Returns:
      A ``subprocess.CompletedProcess`` with text output.
    """
    words = [module, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        process = _forked.Process(target=_command, args=(words, os.fspath(cwd), folder, eager))
        process.start()
        meanwhile(process)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        shown = [pathlib.Path(folder, name).read_text(encoding="utf-8") for name in OUTPUTS]
        return subprocess.CompletedProcess(words, process.exitcode, *shown)


def _command(words, cwd, folder, eager):
    """What the forked process does: the interpreter's part of ``python -m``."""
    for number, name in enumerate(OUTPUTS, start=1):
        file = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.dup2(file, getattr(sys, name).fileno())  # another one where pytest captures it
        os.close(file)
    # What a process leaves that ends by ``os._exit``, AutoGraph's files above all, goes with it.
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    sys.argv = ["-m", *words[1:]]
    if eager:
        import keras

        keras.Model.run_eagerly = property(lambda model: True, lambda model, value: None)
    code = 0
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # what Python does with it
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def lose_steps(run, last):
    """Leaves what a run that was killed behind its checkpoint of step ``last`` leaves.

    Args:
      run: a run directory whose checkpoints are all kept.
      last: step.
    """
    shutil.rmtree(run / "saved_model", ignore_errors=True)
    for path in (run / "checkpoints").glob("ckpt-*"):
        if int(path.stem.partition("-")[2]) > last:
            path.unlink()
    state = f'model_checkpoint_path: "ckpt-{last}"\nall_model_checkpoint_paths: "ckpt-{last}"\n'
    (run / "checkpoints" / "checkpoint").write_text(state)


def run_alone(module, *arguments, cwd=ROOT, timeout=300):
    """The same in a new Python process that shares nothing with this one."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )

"""What a command settles before it starts: precision, XLA, seeds, and how errors are shown.

TensorFlow takes seconds to import. A command therefore checks its flags and files first, calls
``import_tensorflow``, and only then imports the modules that do its work.
"""

import contextlib
import logging as standard_logging
import os
import signal
import sys
import threading
import time

from absl import app, flags, logging

from common import flag_checks
from common.errors import InputError, reason

PRECISIONS = ("auto", "float32", "bfloat16")
SWITCH = ("auto", "on", "off")

# Instruction sets that multiply bfloat16 natively, as /proc/cpuinfo names them.
_CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16")


def import_tensorflow():
    """Imports TensorFlow without the lines that it prints then, whatever its log level.

    Returns:
      The module.
    """
    if "tensorflow" not in sys.modules:
        stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)
    return sys.modules["tensorflow"]


def _cpu_flags():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as lines:
            return next((line.split() for line in lines if line.startswith("flags")), [])
    except OSError:
        return []


def choose_precision(choice="auto"):
    """Resolves ``--precision``.

    Args:
      choice: one of ``PRECISIONS``; "auto" takes bfloat16 where the hardware multiplies it
        natively: a GPU of compute capability 8.0 or more, a CPU with AMX or AVX-512 for it.

    Returns:
      A Keras dtype policy, "float32" or "mixed_bfloat16". Says on the log what and why.
    """
    tf = import_tensorflow()
    if choice != "auto":
        policy, why = {"bfloat16": "mixed_bfloat16"}.get(choice, choice), "as asked"
    elif gpus := tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        policy = "mixed_bfloat16" if capability >= (8, 0) else "float32"
        why = f"the GPU's compute capability is {capability[0]}.{capability[1]}"
    else:
        native = [flag for flag in _CPU_BFLOAT16 if flag in _cpu_flags()]
        policy = "mixed_bfloat16" if native else "float32"
        why = f"the CPU has {native[0] if native else 'no native bfloat16 product'}"
    logging.info("precision: %s (%s)", policy, why)
    return policy


def choose_xla(choice="auto", policy="float32"):
    """Resolves ``--xla`` to a bool.

    Args:
      choice: one of ``SWITCH``; "auto" compiles with XLA on a GPU and, on a CPU, where TensorFlow's
        own kernels cannot train with the policy. XLA's CPU code for these networks is half as fast
        as the oneDNN kernels.
      policy: what is trained with, of ``choose_precision``; "float32" where nothing is.

    Raises:
      InputError: "off" where training needs it.
    """
    tf = import_tensorflow()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    needed = not on_gpu and policy == "mixed_bfloat16" and not _kernels_train_in_bfloat16()
    if choice == "off" and needed:
        raise InputError(
            "--xla=off: without XLA TensorFlow cannot train in bfloat16 on this CPU; leave it out, "
            "or start a run with --precision=float32"
        )
    compile_it = choice == "on" or choice == "auto" and (on_gpu or needed)
    if choice != "auto":
        why = "as asked"
    elif needed:
        why = "CPU: without it no training in bfloat16"
    else:
        why = "GPU" if on_gpu else "CPU: oneDNN is faster"
    logging.info("XLA: %s (%s)", "on" if compile_it else "off", why)
    return compile_it


def _kernels_train_in_bfloat16():
    """Whether a dilated convolution has a gradient in bfloat16: on a CPU, by oneDNN's kernels only.

    Where a processor lacks AVX-512, or what came after it, TensorFlow takes others for this type.
    """
    tf = import_tensorflow()
    image, kernel = tf.ones([1, 5, 5, 1], tf.bfloat16), tf.ones([3, 3, 1, 1], tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        result = tf.nn.conv2d(image, kernel, 1, "SAME", dilations=2)
    try:
        tape.gradient(result, kernel)
    except tf.errors.OpError:
        return False
    return True


def seed_everything(seed, deterministic=False):
    """Seeds Python, NumPy and Keras; ``deterministic`` also forbids racing kernels."""
    tf = import_tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def progress_bar(total, unit, **options):
    """Keras's progress bar, on stderr: stdout is for results.

    Args:
      total: how many there are.
      unit: of what.
      **options: of ``keras.utils.Progbar``.

    Returns:
      Its ``update``: a function of how many are done and, optionally, [(name, value)] to show.
    """
    import_tensorflow()
    import keras

    bar = keras.utils.Progbar(total, unit_name=unit, **options)

    def update(*arguments):
        with contextlib.redirect_stdout(sys.stderr):
            bar.update(*arguments)

    return update


class Interruption:
    """Turns the first Ctrl-C or SIGTERM inside a ``with`` block into ``requested = True``.

    The second one ends the process as usual. Outside the main thread it does nothing.
    """

    def __enter__(self):
        self.requested = False
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number, frame):
        del frame
        self.requested = True
        signal.signal(number, self._previous[number])

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


PATIENCE = 1  # seconds that what a Ctrl-C stops may take


def _watch_for_interrupts():
    """Makes a second Ctrl-C end the process, also from within a graph that runs for minutes.

    Python raises KeyboardInterrupt between two of its instructions: not as long as TensorFlow runs
    a graph. What is on the disk by then is whole.
    """
    there, here = os.pipe()
    os.set_blocking(here, False)
    signal.set_wakeup_fd(here, warn_on_full_buffer=False)

    def watch():
        asked = 0
        while True:
            if os.read(there, 1)[0] != signal.SIGINT:
                continue
            asked += 1
            time.sleep(PATIENCE)  # to end by itself
            if asked > 1:
                print("\nerror: interrupted", file=sys.stderr, flush=True)
                os._exit(130)
            print("\nstopping behind this step; Ctrl-C again: at once", file=sys.stderr, flush=True)

    threading.Thread(target=watch, daemon=True).start()


def _one_line(error):
    """What the user needs of an error of ours, also if TensorFlow wrapped another one around it."""
    return reason(error).rpartition("InputError: ")[2]


def _op_error():
    """TensorFlow's errors, to catch; none as long as it is not there."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow.errors.OpError if tensorflow else ()


def parse_flags(argv):
    """Parses all flags; ``--help`` shows those of ``flags`` as the command's own.

    Args:
      argv: of the command.

    Returns:
      What is left of it.

    Raises:
      UnrecognizedFlagError: absl's; there is no such flag.
      InputError: a value that no command takes, see ``common.flag_checks``.
    """
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        for flag in defined if module.startswith("flags.") else ():
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    try:
        left = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError:
        raise
    except flags.Error:
        return app.parse_flags_with_usage(argv)  # shows what is wrong, and exits
    flag_checks.check_values()
    return left


def _parse_or_exit(argv):
    try:
        return parse_flags(argv)
    except flags.UnrecognizedFlagError:
        return app.parse_flags_with_usage(argv)


def run(main, parse=_parse_or_exit):
    """Runs a command: parses the flags, and shows expected errors as one line, exit code 1.

    Args:
      main: a function of no arguments that returns None or an exit code.
      parse: from the command line to what is left of it; defines flags that depend on it first.
    """

    def checked(argv):
        flag_checks.check_flagfiles(argv[1:])
        return parse(argv)

    def guarded(argv):
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}; every setting is a --flag=value")
        logging.use_absl_handler()
        try:
            return main()
        except InputError as error:
            _fail(_one_line(error))
        except KeyboardInterrupt:
            _fail("interrupted", code=130)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            _fail(f"{name}{error.strerror or error}")
        except _op_error() as error:
            if isinstance(error, import_tensorflow().errors.ResourceExhaustedError):
                _fail(f"out of memory or disk space: {_one_line(error)}; free some or lower sizes")
            if "InputError: " not in str(error):
                raise
            _fail(_one_line(error))

    _watch_for_interrupts()
    logging.set_verbosity(logging.INFO)
    standard_logging.getLogger("tensorflow").setLevel("WARNING")
    # What TensorFlow says by a logger of its own is for the user; the rest, by absl's, is not.
    logging.get_absl_handler().addFilter(
        lambda record: record.name == "tensorflow" or "tensorflow" not in record.pathname
    )
    try:
        try:
            app.run(guarded, flags_parser=checked)
        except InputError as error:
            _fail(_one_line(error))
    except SystemExit as end:
        if not end.code:
            raise
        # Threads that still read files would now and then keep a failed command from ending.
        logging.flush()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def _fail(message, code=1):
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)

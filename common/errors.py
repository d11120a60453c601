"""The one exception that a user is meant to see."""

import re


class InputError(Exception):
    """Bad input: a single line that names the file or flag and says what to do.

    Library code raises it; a command prints it without a traceback and exits with 1.
    """


def reason(error):
    """What an exception says, as part of a line: without TensorFlow's node names and stack."""
    text = str(getattr(error, "message", None) or getattr(error, "strerror", None) or error)
    asserted = re.search(r"assertion failed: .*", text)  # what a graph checks for itself
    text = asserted[0] if asserted else text.strip().split("\n", 1)[0]
    return text.rpartition("}} ")[2].partition(" [Op:")[0] or type(error).__name__

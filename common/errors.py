"""The one exception that a user is meant to see."""


class InputError(Exception):
    """Bad input: a single line that names the file or flag and says what to do.

    Library code raises it; a command prints it without a traceback and exits with 1.
    """


def reason(error):
    """What an exception says, as part of a line: without TensorFlow's node names and stack."""
    text = str(getattr(error, "message", None) or getattr(error, "strerror", None) or error)
    text = text.strip().split("\n", 1)[0]
    return text.rpartition("}} ")[2].partition(" [Op:")[0] or type(error).__name__

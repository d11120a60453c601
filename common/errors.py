"""The one exception that a user is meant to see."""


class InputError(Exception):
    """Bad input: a single line that names the file or flag and says what to do.

    Library code raises it; a command prints it without a traceback and exits with 1.
    """

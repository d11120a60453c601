"""What no command takes, whichever its flags: numbers beyond reason, empty entries, odd flagfiles.

A flag has bounds of its own, or the ones of here. absl's let NaN through, and it reads a flagfile
that is no text, or that names itself.
"""

import os

from absl import flags

from common.errors import InputError

FLAGS = flags.FLAGS

COUNT = 2**15  # the most of what is in one picture or one batch, and of pixels in a side
LENGTH = 10**8  # the most of what follows one after another: steps, pictures of a data set
SIZE = 10**9  # the most of any number that is no integer
# Last words of the names of flags that are lengths.
LENGTHS = frozenset(
    ("candidates", "checkpoints", "every", "images", "iterations", "limit", "pairs", "steps")
)


def check_values(values=FLAGS):
    """Refuses numbers that are not finite or absurd, and lists with nothing in them.

    Args:
      values: absl's ``FlagValues``, parsed; those without a bound of their own have that
        of their kind: ``SIZE``, ``LENGTH`` or ``COUNT``, of either sign.

    Raises:
      InputError: names the first such flag.
    """
    for name in sorted(values):
        flag = values[name]
        if flag.value is None:
            continue
        if isinstance(flag.parser, flags.FloatParser | flags.IntegerParser):
            for number in flag.value if isinstance(flag.value, list) else [flag.value]:
                _check_number(name, number, flag.parser)
        listed = isinstance(flag.parser, flags.BaseListParser)
        if listed and ("" in flag.value or (flag.default and not flag.value)):
            raise InputError(f"--{name}={','.join(flag.value)}: an entry is empty. {flag.help}")


def check_number(name, text, kind=int, least=1):
    """Reads a number that stands in a list.

    Args:
      name: of the flag.
      text: the entry.
      kind: int or float.
      least: the least that it may be.

    Returns:
      The number.

    Raises:
      InputError: it is none, or beyond the bounds of ``check_values``.
    """
    parser = {int: flags.IntegerParser, float: flags.FloatParser}[kind](lower_bound=least)
    try:
        number = parser.parse(text)
    except ValueError as error:
        raise InputError(f"--{name}={text}: {error}") from error
    _check_number(name, number, parser)
    return number


def _check_number(name, number, parser):
    usual = COUNT
    if isinstance(parser, flags.FloatParser):
        usual = SIZE
    elif name.rpartition("_")[2] in LENGTHS:
        usual = LENGTH
    low = -usual if parser.lower_bound is None else parser.lower_bound
    high = usual if parser.upper_bound is None else parser.upper_bound
    if not low <= number <= high:  # nor is NaN
        raise InputError(f"--{name}={number}: need a number from {low:,} to {high:,}")


def check_flagfiles(words, outer=()):
    """Refuses flagfiles that are no text, or that name each other in a circle.

    Args:
      words: of a command line or a flagfile.
      outer: the flagfiles that these words come from.

    Raises:
      InputError: names the file. One that cannot be opened is left to absl, which says so.
    """
    words = iter(words)
    for word in words:
        name, equals, path = word.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            continue
        path = os.path.expanduser(path if equals else next(words, ""))
        if path in outer:
            raise InputError(f"--flagfile={path}: names itself; take out that line")
        try:
            with open(path) as file:  # in absl's encoding
                lines = [line.strip() for line in file]
        except OSError:
            continue
        except UnicodeDecodeError as error:
            raise InputError(f"--flagfile={path}: no text; give one flag a line") from error
        check_flagfiles(lines, (*outer, path))

"""Flags of methods: the fields of their settings, defined once it is known which method is meant.

Only the chosen method's flags exist in a process, so that one which would be ignored is refused.
"""

import dataclasses

from absl import app, flags

from common import runtime, settings
from common.errors import InputError
from common.training.runs import RunDirectory

FLAGS = flags.FLAGS


def define(kind, values=FLAGS):
    """Defines the flags of a settings class; shared flags get its defaults.

    Args:
      kind: see ``common.settings``.
      values: where to define them.
    """
    own = settings.own(kind)
    for field in dataclasses.fields(kind):
        if field not in own:
            default = field.default
            values.set_default(field.name, list(default) if field.type is tuple else default)
            continue
        told = field.metadata
        text, options = told["help"], {"flag_values": values}
        if told["choices"]:
            flags.DEFINE_enum(field.name, field.default, list(told["choices"]), text, **options)
        elif field.type is bool:
            flags.DEFINE_bool(field.name, field.default, text, **options)
        elif field.type is tuple:
            flags.DEFINE_list(field.name, list(field.default), text, **options)
        elif field.type is str:
            flags.DEFINE_string(field.name, field.default, text, **options)
        else:
            bounds = {"lower_bound": told["least"], "upper_bound": told["most"]}
            number = {int: flags.DEFINE_integer, float: flags.DEFINE_float}[field.type]
            number(field.name, field.default, text, **bounds, **options)


def read(kind, values=FLAGS):
    """The settings that the flags describe.

    Raises:
      InputError: contradictory flags.
    """
    found = {field.name: values[field.name].value for field in dataclasses.fields(kind)}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()})


def early(argv, name):
    """The value of a flag before the others are known, or None.

    Args:
      argv: of the command; its flagfiles are read.
      name: of a flag whose value is a text.

    Raises:
      Error: absl's; a flagfile that cannot be read.
    """
    seen = flags.FlagValues()  # FLAGS itself would count every value of a repeated flag twice
    flags.DEFINE_string(name, None, "", seen)
    seen.set_gnu_getopt(True)  # else the value in "--dataset FOLDER" would end the parsing
    seen(argv, known_only=True)
    return seen[name].value


def parser(methods, part, of_run=False):
    """How a command with a method parses its flags, for ``runtime.run``.

    Args:
      methods: a package's ``METHODS``.
      part: "training" or "completing": which of their settings are flags.
      of_run: ``--run_dir`` names a run, and that its method.

    Returns:
      A function from the command line to what is left of it.
    """

    def parse(argv):
        default = next(iter(methods))
        try:
            chosen = early(argv, "method")
            named = _method_of_run(early(argv, "run_dir"), methods, default) if of_run else default
        except flags.Error:
            chosen = named = default  # parsing everything shows what is wrong
        if of_run and chosen and chosen != named:
            raise InputError(f"--method={chosen}: the run's is {named}")
        flags.DEFINE_enum("method", named, list(methods), "What is trained.")
        chosen = methods.get(chosen or named)
        if chosen:
            define(getattr(chosen, part))
        return _refusing_others(argv, methods, part, chosen)

    return parse


def _method_of_run(path, methods, default):
    try:
        name = RunDirectory(path or "").read_flags().get("method", default)
    except InputError:
        return default  # the command says what is wrong with it
    if name not in methods:
        raise InputError(f"--run_dir={path}: a run of {name}; here are {', '.join(methods)}")
    return name


def _refusing_others(argv, methods, part, chosen):
    try:
        return runtime.parse_flags(argv)
    except flags.UnrecognizedFlagError as error:
        wrong = error.flagname.removeprefix("no")
        owners = [
            method.name
            for method in methods.values()
            if {wrong, error.flagname} & {f.name for f in settings.own(getattr(method, part))}
        ]
        if owners and chosen:
            raise InputError(
                f"--{error.flagname}: a flag of --method={' and '.join(owners)}, "
                f"not of {chosen.name}"
            ) from error
        return app.parse_flags_with_usage(argv)


def chosen(methods, part):
    """The method of ``--method`` and its settings.

    Raises:
      InputError: contradictory flags.
    """
    method = methods[FLAGS.method]
    return method, read(getattr(method, part))

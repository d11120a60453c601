"""Flags of methods: the fields of their settings, defined once it is known which method is meant.

Only the chosen method's flags exist in a process, so that one which would be ignored is refused.
"""

import dataclasses

from absl import app, flags

from common import methods as common_methods
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
        if told["choices"] and field.type is int:
            _define_choice(field.name, field.default, told["choices"], text, values)
        elif told["choices"]:
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


class _IntegerOf(flags.EnumParser):
    """Integers of a list."""

    def parse(self, argument):
        return int(super().parse(str(argument)))


def _define_choice(name, default, choices, text, values):
    names = [str(choice) for choice in choices]
    text = f"<{'|'.join(names)}>: {text}"
    flags.DEFINE(_IntegerOf(names), name, default, text, values, flags.ArgumentSerializer())


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


def parser(methods, *parts, described=lambda argv, methods: (None, {})):
    """How a command with a method parses its flags, for ``runtime.run``.

    Args:
      methods: a package's ``METHODS``.
      *parts: attributes of ``common.methods.Method``: which of the method's settings are flags.
      described: from the command line and ``methods`` to (the method's name or None, {flag:
        default}): what a run or a model says of itself.

    Returns:
      A function from the command line to what is left of it.
    """

    def parse(argv):
        try:
            named, stored = described(argv, methods)
            told = early(argv, "method")
        except flags.Error:
            named, stored, told = None, {}, None  # parsing everything shows what is wrong
        default = named or next(iter(methods))
        if named and told and told != named:
            raise InputError(f"--method={told}: this is {named}'s")
        flags.DEFINE_enum("method", default, list(methods), "The method.")
        chosen = methods.get(told or default)
        if chosen:
            for part in parts:
                define(getattr(chosen, part))
            obey(stored, chosen.completing)
            if chosen.model and "model" in FLAGS:
                FLAGS.set_default("model", chosen.model)
        return _refusing_others(argv, methods, parts, chosen)

    return parse


def obey(stored, kind):
    """Makes what a model was exported with the defaults of its method's own flags.

    Args:
      stored: {name: value}; what is no such flag is left alone.
      kind: settings class.

    Raises:
      InputError: a value that the flag cannot have.
    """
    for name in {field.name for field in settings.own(kind)} & {*stored}:
        try:
            FLAGS.set_default(name, stored[name])
        except (TypeError, ValueError, flags.Error) as error:
            raise InputError(f"--model: its settings cannot be read ({error})") from error


def of_run(argv, methods):
    """The method of the run that ``--run_dir`` names, for ``parser``."""
    try:
        run = RunDirectory(early(argv, "run_dir") or "")
        if not run.flags.is_file():
            return None, {}  # the command says what is wrong with it
        return common_methods.method_of_run(run, methods), {}
    except InputError as error:
        raise InputError(f"--run_dir={error}") from error


def of_model(argv, methods):
    """The method and the settings of the model that ``--model`` names, for ``parser``.

    Without ``--model`` it is the method's own.
    """
    source = early(argv, "model")
    if not source:
        method = methods.get(early(argv, "method") or next(iter(methods)))
        if not method:
            return None, {}  # parsing everything shows what is wrong
        if not method.model:
            raise InputError(f"--model is missing: {method.name} comes without a network")
        source = method.model
    model = common_methods.described(source, methods)
    return model.method, model.stored


def _refusing_others(argv, methods, parts, chosen):
    try:
        return runtime.parse_flags(argv)
    except flags.UnrecognizedFlagError as error:
        wrong = error.flagname.removeprefix("no")
        owners = [
            method.name
            for method in methods.values()
            if {wrong, error.flagname}
            & {field.name for part in parts for field in settings.own(getattr(method, part))}
        ]
        if owners and chosen:
            raise InputError(
                f"--{error.flagname}: a flag of --method={' and '.join(owners)}, "
                f"not of {chosen.name}"
            ) from error
        return app.parse_flags_with_usage(argv)


def chosen(methods, *parts):
    """The method of ``--method`` and its settings, one after another.

    Raises:
      InputError: contradictory flags.
    """
    method = methods[FLAGS.method]
    return method, *(read(getattr(method, part)) for part in parts)

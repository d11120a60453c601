"""Settings of a method: a frozen dataclass whose fields are its flags. No TensorFlow.

    @dataclasses.dataclass(frozen=True)
    class Settings:
        batch_size: int = 96                                    # a shared flag, with this default
        alpha: float = setting(0.0004, "Weight of the GAN loss.", least=0)    # a flag of its own
        joint_steps: int = steps(400_000, "Phase 3.")    # one that may change while a run goes on

Name, type, default, bounds and help stand once; the same class reads a run's ``flags.txt``.
"""

import dataclasses
import math

from common.errors import InputError


def setting(default, text, choices=None, least=None, most=None):
    """A field that is a flag of the method's own.

    Args:
      default: its value without the flag; its type is the field's: bool, int, float, str or, for
        several words, tuple.
      text: the flag's help.
      choices: the values it may have.
      least, most: bounds of a number, both included; None: those of ``common.flag_checks``.
    """
    described = {"help": text, "choices": choices, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=described)


def steps(default, text, least=0):
    """A ``setting`` that is the length of a phase: it may be raised in a run that has begun.

    A schedule that the length is part of, whatever ``decay`` says, makes it a plain ``setting``.
    """
    described = {"help": text, "choices": None, "least": least, "most": None, "length": True}
    return dataclasses.field(default=default, metadata=described)


@dataclasses.dataclass(frozen=True)
class Supervision:
    """Settings of methods that can be trained on pictures that are damaged themselves."""

    supervision: str = setting(
        "whole",
        "What the training pictures are: whole, or damaged themselves; holes are then drawn on top "
        "of the damage, and the loss looks only where a drawn hole hides what is known.",
        choices=("whole", "damaged"),
    )
    damage: str = setting(
        "",
        "damaged: folder or glob of masks, white = damaged, each named like its picture and as "
        "large; or 'drawn', for experiments on whole pictures: one mask for each, drawn once for "
        "good from --seed, its name and the flags of holes; or 'whole'. One for each part of "
        "--dataset.",
    )

    def __post_init__(self):
        """Refuses one setting without the other."""
        if self.supervision == "damaged" and not self.damage:
            raise InputError(
                "--supervision=damaged needs --damage=FOLDER with the masks of the pictures, or "
                "--damage=drawn for pictures that are whole"
            )
        if self.damage and self.supervision != "damaged":
            raise InputError("--damage is read with --supervision=damaged; give both")


def lengths(kind):
    """Names of a settings class's fields that are ``steps``."""
    return [field.name for field in dataclasses.fields(kind) if field.metadata.get("length")]


def own(kind):
    """The fields of a settings class that are flags of its own; the others are shared flags."""
    return [field for field in dataclasses.fields(kind) if "help" in field.metadata]


def parse(kind, texts):
    """Reads settings from text.

    Args:
      kind: the settings class.
      texts: {flag: text}, as ``common.training.runs.RunDirectory.read_flags`` reads them; a flag
        that is missing has its default.

    Raises:
      ValueError: a text that is no value of its field.
    """
    values = {
        field.name: value_of(field, texts[field.name])
        for field in dataclasses.fields(kind)
        if field.name in texts
    }
    return kind(**values)


def value_of(field, text):
    """The value of a field that a text stands for.

    Raises:
      ValueError: none.
    """
    if field.type is bool:
        value = {"true": True, "false": False}.get(text.lower())
    elif field.type is tuple:
        value = tuple(text.split(",")) if text else ()
    else:
        value = field.type(text)
    finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or not finite or value not in (field.metadata.get("choices") or [value]):
        raise ValueError(f"--{field.name}={text}")
    return value

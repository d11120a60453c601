"""Completes pictures with GLCIC.

    python -m glcic.complete
    python -m glcic.complete --input=PHOTO --mask=HOLE
    python -m glcic.complete --input=FOLDER --mask=FOLDER --output=FOLDER
    python -m glcic.complete --input=clip.mp4 --mask=HOLE

Without flags, a portrait of Grace Hopper with a square hole, by the packaged network for faces.
What ``--input`` names is completed by the one for photographs, unless ``--model`` says otherwise; a
log line says which was taken. In a mask file white is missing; without one, ``--mask_kind`` says
what hole is drawn. Images may have any size.
"""

import functools
import pathlib

from absl import flags

from common import runtime
from common.completion import files as completion_files
from common.completion import model_folders, windows
from common.pictures import samples
from flags import completion as completion_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from glcic import PHOTOGRAPHS, SHIPPED

FLAGS = flags.FLAGS

OF_INPUT, OF_PORTRAIT = f"shipped:glcic/{PHOTOGRAPHS}", f"shipped:glcic/{SHIPPED}"
# At the training size the portrait reaches the network as it is.
SAMPLE = completion_files.Picture(
    samples.NAME,
    functools.partial(samples.portrait, 128),
    pathlib.PurePath(f"{samples.NAME}.png"),
)


def define_flags():
    """Defines this command's flags."""
    completion_flags.define(f"{OF_INPUT}, for the portrait {OF_PORTRAIT}")
    mask_flags.define("center")
    runtime_flags.define()


def main():
    """Completes every picture; returns 1 if one of them failed."""
    clip = completion_flags.clip()
    if not clip:
        pictures = completion_flags.pictures(SAMPLE)
        masks = completion_flags.masks_of(pictures)
        outputs = completion_flags.outputs(pictures, masks.paths)
    FLAGS.model = FLAGS.model or (OF_INPUT if FLAGS.input else OF_PORTRAIT)
    model_folders.find_model(FLAGS.model)

    runtime.import_tensorflow()
    work = windows.Files(completion_flags.completer(), FLAGS.blend)
    return clip(work) if clip else completion_files.complete(pictures, masks, outputs, work)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)

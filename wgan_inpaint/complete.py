"""Completes pictures by a method with latents: latent search, the conditional GAN, or CNNLG.

    python -m wgan_inpaint.complete
    python -m wgan_inpaint.complete --input=PHOTO --mask=HOLE
    python -m wgan_inpaint.complete --input=FOLDER --mask=FOLDER --output=FOLDER
    python -m wgan_inpaint.complete --input=PHOTO --samples=8 --snapshot_every=50 --animation=gif
    python -m wgan_inpaint.complete --input=PHOTO --mask_kind=lowres
    python -m wgan_inpaint.complete --input=clip.mp4 --mask=HOLE
    python -m wgan_inpaint.complete --method=conditional --input=PHOTO --mask=HOLE --samples=8
    python -m wgan_inpaint.complete --method=cnnlg --input=PHOTO --mask=HOLE --smoothness=0.3

Without flags, a portrait of Grace Hopper with a square hole. In a mask file white is missing;
without one, ``--mask_kind`` says what hole is drawn. Images larger than the generator's are
completed at its size, on the crop around the hole, and put back at full resolution; smaller ones
are refused.

A model brings its method and the settings that it was exported with; flags go first. ``--help``
shows the flags of the method that ``--method`` or ``--model`` names.

Latent search has ``--mask_kind=lowres``, super-resolution: of an image, only its averages over
blocks of ``--lowres`` pixels are known, and the result has the generator's size.

For an image NAME it writes NAME.png and, on request, NAME_figure.png, NAME_sample1.png, ... and
NAME_samples.png (different completions: of a search the first has the least loss, of the
conditional GAN each has a seed, of CNNLG the first is the expected one and each other has a seed).
A search also writes NAME_loss.csv (iteration, total, context and prior loss) and, on request,
NAME_strip.png or NAME_search.gif (the picture at chosen iterations).
"""

import pathlib

from absl import flags

from common import runtime
from common.completion import files as completion_files
from common.errors import InputError
from common.pictures import samples
from flags import completion as completion_flags
from flags import masks as mask_flags
from flags import methods as method_flags
from flags import runtime as runtime_flags
from wgan_inpaint import METHODS
from wgan_inpaint.search.settings import LOWRES

FLAGS = flags.FLAGS
PARSER = method_flags.parser(METHODS, "completing", "writing", described=method_flags.of_model)


def define_flags():
    """Defines the flags that all methods share."""
    completion_flags.define(in_windows=False)
    completion_flags.define_samples()
    mask_flags.define("center", (LOWRES,))
    runtime_flags.define()
    runtime_flags.define_xla()


def main():
    """Completes every picture; returns 1 if one of them failed."""
    method, settings, writing = method_flags.chosen(METHODS, "completing", "writing")
    sample = completion_files.Picture(
        samples.NAME,
        # The generator's own size, as in the papers' figures; known when the picture is read.
        lambda: samples.portrait(work.size),
        pathlib.PurePath(f"{samples.NAME}.png"),
    )
    clip, endings = completion_flags.clip(), writing.endings(settings)
    if clip and (not writing.needs_masks or endings != type(writing)().endings(settings)):
        raise InputError(f"--input={FLAGS.input}: of a clip there is one result, and nothing else")
    if not clip:
        pictures = completion_flags.pictures(sample)
        masks = completion_flags.masks_of(pictures) if writing.needs_masks else None
        outputs = completion_flags.outputs(pictures, masks.paths if masks else (), endings)

    runtime.import_tensorflow()
    options = completion_flags.options()
    work = method.load().completer(settings, writing, FLAGS.model, options)
    return clip(work) if clip else completion_files.complete(pictures, masks, outputs, work)


if __name__ == "__main__":
    define_flags()
    runtime.run(main, PARSER)

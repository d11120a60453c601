"""Completes pictures by latent search.

    python -m wgan_inpaint.complete
    python -m wgan_inpaint.complete --input=PHOTO --mask=HOLE
    python -m wgan_inpaint.complete --input=FOLDER --mask=FOLDER --output=FOLDER
    python -m wgan_inpaint.complete --input=PHOTO --samples=8 --snapshot_every=50 --animation=gif
    python -m wgan_inpaint.complete --input=PHOTO --mask_kind=lowres

Without flags, a portrait of Grace Hopper with a square hole. In a mask file white is missing;
without one, ``--mask_kind`` says what hole is drawn. Images larger than the generator's are
completed at its size, on the crop around the hole, and put back at full resolution; smaller ones
are refused.

The search is the one that the model was exported with, unless a flag says otherwise.

``--mask_kind=lowres`` is super-resolution: of an image, only its averages over blocks of
``--lowres`` pixels are known, and the result has the generator's size.

For an image NAME it writes NAME.png, NAME_loss.csv (iteration, total, context and prior loss) and,
on request, NAME_figure.png, NAME_strip.png or NAME_search.gif (the picture at chosen iterations),
NAME_sample1.png, ... and NAME_samples.png (different completions, the first with the least loss).
"""

import pathlib

from absl import flags

from common import runtime
from common.completion import files as completion_files
from common.pictures import samples
from flags import completion as completion_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import search as search_flags
from wgan_inpaint import sources

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    completion_flags.define("shipped:wgan_inpaint", in_windows=False)
    mask_flags.define("center", (search_flags.LOWRES,))
    runtime_flags.define()
    search_flags.define()
    search_flags.define_completion()


def main():
    """Completes every picture; returns 1 if one of them failed."""
    search_flags.obey(sources.search_settings(FLAGS.model))
    block, extras = search_flags.lowres(), search_flags.extras()
    search_flags.settings(block=block, samples=extras.samples)  # refuses contradictions
    sample = completion_files.Picture(
        samples.NAME,
        # The generator's own size, as in the papers' figures; known when the picture is read.
        lambda: samples.portrait(networks_.size),
        pathlib.PurePath(f"{samples.NAME}.png"),
    )
    pictures = completion_flags.pictures(sample)
    masks = None if block else completion_flags.masks_of(pictures)
    outputs = completion_flags.outputs(pictures, masks.paths if masks else (), extras.endings())

    tf = runtime.import_tensorflow()
    from wgan_inpaint import loading
    from wgan_inpaint.search import completing, latent_search

    networks_ = loading.load_networks(FLAGS.model)
    bfloat16 = runtime.choose_precision(FLAGS.precision) == "mixed_bfloat16"
    search = latent_search.LatentSearch(
        networks_,
        search_flags.settings(networks_, block, extras.samples),
        tf.bfloat16 if bfloat16 else tf.float32,
        runtime.choose_xla(FLAGS.xla),
    )
    work = completing.Files(search, FLAGS.blend, extras, FLAGS.batch_size)
    return completion_files.complete(pictures, masks, outputs, work)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)

"""Flags of training and evaluation images."""

from absl import flags

from common.pictures import preparation as preparations

FLAGS = flags.FLAGS


def define(several=False):
    """Defines the flags of this group.

    Args:
      several: whether the command takes several folders at once.
    """
    more = " Of several, FOLDER,FOLDER=4: the second one's pictures count four times."
    flags.DEFINE_string(
        "dataset",
        None,
        "Folder of images (nested, any sizes), glob, or tfds name (celeb_a)." + several * more,
    )
    flags.DEFINE_string("split", "train", "Split of the tfds data set.")
    flags.DEFINE_string("data_dir", None, "Where tfds keeps its data; default: tfds's own.")


def define_preparation():
    """Defines the flags that say how a picture becomes a training image."""
    flags.DEFINE_integer(
        "resize_min",
        0,
        "The shorter side is resized to a random length from here ... (pixels; "
        "0: the training size).",
        lower_bound=0,
    )
    flags.DEFINE_integer("resize_max", 0, "... to here (pixels; 0: as above).", lower_bound=0)
    flags.DEFINE_enum("crop", "random", ["random", "center"], "Where the square is cut.")
    flags.DEFINE_bool("flip", False, "Mirror every other training image, at random.")
    share = {"lower_bound": 0.0, "upper_bound": 1.0}
    flags.DEFINE_float("recolor", 0.0, "Share of the training images that are recoloured.", **share)
    flags.DEFINE_float("hue", 0.0, "Recolouring turns hues by up to so many degrees.", 0.0, 180.0)
    flags.DEFINE_float(
        "saturation_min", 1.0, "It multiplies saturations by a factor from here ...", 0.0
    )
    flags.DEFINE_float("saturation_max", 1.0, "... to here.", 0.0)


def check():
    """Refuses a ``--dataset`` that is not there, before TensorFlow is imported.

    Raises:
      InputError: no such folder, no image in it, or no such tfds data set.
    """
    preparations.check_dataset(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)


def preparation(size):
    """The ``Preparation`` that the flags describe, for squares of ``size`` pixels."""
    return preparations.Preparation(
        size,
        FLAGS.resize_min,
        FLAGS.resize_max,
        crop=FLAGS.crop,
        flip=FLAGS.flip,
        recolor=FLAGS.recolor,
        hue=FLAGS.hue,
        saturation_min=FLAGS.saturation_min,
        saturation_max=FLAGS.saturation_max,
    )

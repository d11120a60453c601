"""Flags of training and evaluation images."""

from absl import flags

from common.pictures import preparation as preparations

FLAGS = flags.FLAGS


def define():
    """Defines the flags of this group."""
    flags.DEFINE_string(
        "dataset", None, "Folder of images (nested, any sizes), glob, or tfds name (celeb_a)."
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


def check():
    """Refuses a ``--dataset`` that is not there, before TensorFlow is imported.

    Raises:
      InputError: no such folder, no image in it, or no such tfds data set.
    """
    preparations.check_dataset(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)


def preparation(size):
    """The ``Preparation`` that the flags describe, for squares of ``size`` pixels."""
    return preparations.Preparation(
        size, FLAGS.resize_min, FLAGS.resize_max, crop=FLAGS.crop, flip=FLAGS.flip
    )

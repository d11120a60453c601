"""Training images: a folder of files, or a tfds data set, to an endless tf.data stream.

Element number n of a run is a function of (seed, n) alone, so a resumed run sees what an
uninterrupted one would have seen: the file is drawn by an epoch's permutation
(``index_shuffle``), the crop by a generator seeded with (seed, n).
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

from common.errors import InputError
from common.pictures import images as image_files
from common.pictures.preparation import (  # noqa: F401
    Preparation,
    is_folder,
    list_pictures,
    no_tfds,
)

# Of functions without loops or branches: AutoGraph takes a tenth of a second to find none.
_as_it_is = tf.autograph.experimental.do_not_convert


def tfds_images(name, split, data_dir=None):
    """Opens the images of a tfds data set, still encoded.

    Args:
      name: of the data set, as tfds knows it.
      split: its split.
      data_dir: where tfds keeps its data; None is tfds's default.

    Returns:
      (tf.data.Dataset of encoded images, function that decodes one, their number).

    Raises:
      InputError: no such data set or split, or one without images.
    """
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(name, data_dir=data_dir or None)
        builder.download_and_prepare()
        if "image" not in builder.info.features:
            raise InputError("its examples have no feature named image")
        count = builder.info.splits[split].num_examples
        decoders = {"image": tfds.decode.SkipDecoding()}
        encoded = builder.as_dataset(
            split=split, decoders=tfds.decode.PartialDecoding({"image": True}, decoders=decoders)
        ).map(lambda example: example["image"])
    except Exception as error:  # tfds raises whatever the name or the download leads to
        raise no_tfds(name, split, error) from error
    if not count:
        raise InputError(f"--dataset={name}: its split {split!r} is empty")
    return encoded, builder.info.features["image"].decode_example, count


def count(dataset, split="train", data_dir=None, **options):
    """Number of pictures in an epoch of ``training_batches``, whose arguments these are."""
    del options
    if is_folder(dataset):
        return len(list_pictures(dataset))
    return tfds_images(dataset, split, data_dir)[2]


def _folder_stream(paths, seed, first):
    """(path, element number) from element ``first`` on, a new permutation every epoch."""
    count = len(paths)
    paths = tf.constant([str(path) for path in paths])

    def pick(n):
        epoch = tf.cast(n // count, tf.int32)
        index = tf.random.experimental.index_shuffle(
            tf.cast(n % count, tf.int64),
            tf.stack([tf.constant(seed, tf.int32), epoch]),
            tf.constant(count - 1, tf.int64),
        )
        return tf.gather(paths, index), n

    return tf.data.Dataset.range(first, 2**62).map(_as_it_is(pick))


def _tfds_stream(name, split, data_dir, seed, first):
    """(image, element number) from a tfds data set, shuffled anew every epoch.

    What is shuffled and skipped is the encoded pictures: 10,000 decoded ones may need gigabytes.
    """
    encoded, decode, count = tfds_images(name, split, data_dir)

    def epochs():
        for epoch in itertools.count(first // count):
            shuffled = encoded.shuffle(
                10_000, seed=int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
            )
            seen = first % count if epoch == first // count else 0
            yield from shuffled.skip(seen).as_numpy_iterator()

    return tf.data.Dataset.zip(
        tf.data.Dataset.from_generator(epochs, output_signature=encoded.element_spec).map(
            decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ),
        tf.data.Dataset.range(first, 2**62),
    )


def _prepare(picture, number, drawn=None, *, prepare, seed, damage=None):
    """One element on the host: reads the file, if it is one, and prepares it."""
    if damage:
        picture = damage.hide(image_files.read_image(picture.decode()), picture.decode(), drawn)
    elif isinstance(picture, bytes):
        picture = image_files.read_uint8(picture.decode())
    elif picture.shape[-1] == 1:
        picture = np.repeat(picture, 3, axis=-1)
    image = prepare(picture, np.random.default_rng([seed, int(number)]))
    return np.ascontiguousarray(image_files.to_uint8(image) if damage else image)


def training_batches(
    dataset,
    prepare,
    batch_size,
    seed,
    first=0,
    split="train",
    data_dir=None,
    damage=None,
    threads=None,
):
    """An endless stream of training images.

    Args:
      dataset: folders (nested), files or glob patterns, see ``preparation.folders``, or the name
        of a tfds data set.
      prepare: a ``Preparation``.
      batch_size: images in a batch.
      seed: of the run; with the element's number it decides everything.
      first: number of the first element, for a resumed run: images already seen.
      split: of the tfds data set.
      data_dir: where tfds keeps its data; None is tfds's default.
      damage: a ``common.training.damage.Damage`` of files; None: the pictures are whole.
      threads: elements prepared at a time; None lets tf.data choose.

    Returns:
      A ``tf.data.Dataset`` of uint8 [batch_size, size, size, 3], or with damage of four channels:
      RGB, 0 where damaged, and 255 there.

    Raises:
      InputError: no images, or no such data set. A file that cannot be read stops the stream
        with an error that names it.
    """
    if is_folder(dataset):
        stream = _folder_stream(list_pictures(dataset), seed, first)
    else:
        stream = _tfds_stream(dataset, split, data_dir, seed, first)

    def load(picture, number):
        inputs = [picture, number, *([damage.draw(picture)] if damage else [])]
        one = functools.partial(_prepare, prepare=prepare, seed=seed, damage=damage)
        image = tf.numpy_function(one, inputs, tf.uint8)
        image.set_shape([prepare.size, prepare.size, 4 if damage else 3])
        return image

    return (
        stream.map(
            _as_it_is(load), num_parallel_calls=threads or tf.data.AUTOTUNE, deterministic=True
        )
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def first_images(count, dataset, prepare, seed, **options):
    """The first ``count`` images of ``training_batches``, uint8 [count, S, S, 3 or 4]."""
    batches = training_batches(dataset, prepare, count, seed, **options)
    return next(batches.take(1).as_numpy_iterator())


def judged_images(count, dataset, size, first):
    """The pictures that a training is judged on, uint8 [count, size, size, C].

    Args:
      count: how many.
      dataset: folder or tfds data set, whose split "validation" is taken; "": none.
      size: side in pixels.
      first: of ``common.training.driver.train``: from a number to so many first training images,
        which are taken without a ``dataset``.
    """
    if not dataset:
        return first(count)
    prepare = Preparation(size, crop="center")
    return first_images(count, dataset, prepare, 0, split="validation")


def mean_color(images):
    """The mean RGB of images, uint8 [N, H, W, 3]: float32 [3] in [0, 1].

    Of damaged ones, [N, H, W, 4], that of what is known: where the last channel is 0.
    """
    if images.shape[-1] == 3:
        return images.mean((0, 1, 2)).astype(np.float32) / 255
    return images[images[..., 3] == 0][:, :3].mean(0).astype(np.float32) / 255

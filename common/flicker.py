"""Measures how steadily clips were completed.

    python -m common.flicker --input=clip.mp4 --mask=hole.png \
        --methods=telea,each=shipped:glcic,carried=completed/clip.mkv

A method is a clip that was completed already, or, as for ``common.compare``, a classical method or
a model, which then completes every frame on its own. Flicker is the warping error of Lai et al.
2018: the mean square of what changes in the hole along the optical flow between neighbouring
frames, in [0, 1], times 1,000. The flow is that of the clip, its hole filled roughly; with
``--whole`` the input itself shows what the mask hides: then its own flow is taken, it has a row,
and the error in the hole is printed, too. Flicker alone says little: a hole of one grey has next to
none.
"""

import os
import pathlib
import tempfile

import numpy as np
from absl import flags

from common import compare, runtime
from common.completion import blending, clips, propagation
from common.errors import InputError
from common.evaluation import sources
from common.pictures import images as image_files
from flags import runtime as runtime_flags
from flags import training as training_flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    flags.DEFINE_string("input", None, "The video file.")
    flags.DEFINE_string(
        "mask", None, "A picture for all frames, or a clip of as many; white = missing."
    )
    flags.DEFINE_multi_string(
        "methods", None, "As SOURCE,NAME=SOURCE,...: completed clips, classical methods, models."
    )
    flags.DEFINE_bool("whole", False, "The input shows what the mask hides, too.")
    flags.DEFINE_bool("resize_mask", False, "Resize masks that differ in size from the clip.")
    flags.DEFINE_enum(
        "blend", "none", blending.BLEND_METHODS, "How methods for pictures are blended in."
    )
    runtime_flags.define()


def main():
    """Measures and prints a table."""
    training_flags.required("input", "mask", "methods")
    chosen = compare.parse_methods(FLAGS.methods)
    for name, source in chosen.items():
        if not clips.is_clip(source):
            sources.find_method(name, source)
        elif not pathlib.Path(source).expanduser().is_file():
            raise InputError(f"--methods: {source}: no such file")
    for path in (FLAGS.input, FLAGS.mask):
        if not pathlib.Path(path).expanduser().is_file():
            raise InputError(f"{path}: no such file")
    if not all(clips.is_clip(source) for source in chosen.values()):
        runtime.import_tensorflow()
    with tempfile.TemporaryDirectory(prefix="flicker-") as folder:
        print(_table(chosen, folder))


def _table(chosen, folder):
    place = iter(os.path.join(folder, f"{n}.bin") for n in range(len(chosen) + 2))
    frames, _ = clips.read(pathlib.Path(FLAGS.input).expanduser(), next(place))
    mask = pathlib.Path(FLAGS.mask).expanduser()
    holes = clips.read_holes(mask, next(place), frames.shape[:3], FLAGS.resize_mask)
    if min(frames.shape[1:3]) < propagation.LEAST:
        raise InputError(f"{FLAGS.input}: frames must be at least {propagation.LEAST} pixels wide")

    def flows():
        before = None
        for frame, hole in zip(frames, holes, strict=True):
            after = np.array(frame) if FLAGS.whole else propagation.prefilled(frame, hole)
            if before is not None:
                yield propagation.flow_between(before, after)
            before = after

    rows = [("original", frames)] if FLAGS.whole else []
    lines = ["| method | flicker x 1000 |" + " PSNR in the hole (dB) |" * FLAGS.whole]
    lines.append("| --- | ---: |" + " ---: |" * FLAGS.whole)
    rows += [(name, _completed(name, chosen[name], frames, holes, next(place))) for name in chosen]
    for name, clip in rows:
        line = f"| {name} | {1000 * propagation.flicker(clip, holes, flows()):.3f} |"
        if FLAGS.whole:
            error = np.mean((clip[holes] / 255.0 - frames[holes] / 255.0) ** 2)
            line += f" {-10 * np.log10(error) if error else np.inf:.2f} |"
        lines.append(line)
    return "\n".join(lines)


def _completed(name, source, frames, holes, place):
    if clips.is_clip(source):
        return _read(source, frames, place)
    precision = "bfloat16" if runtime.choose_precision(FLAGS.precision) != "float32" else "float32"
    complete = sources.open_method(name, source, precision).load()
    found = propagation.stored(place, frames.shape, np.uint8)
    bar = runtime.progress_bar(len(frames), name)
    for n, (frame, hole) in enumerate(zip(frames, holes, strict=True)):
        found[n] = frame
        if hole.any():
            mask = hole[..., None].astype(np.float32)
            image = image_files.from_uint8(np.array(frame)) * (1 - mask)
            output = complete(image[None], mask[None])[0]
            blended = blending.blend(image, output, mask, FLAGS.blend)
            found[n][hole] = image_files.to_uint8(blended)[hole]
        bar(n + 1)
    return found


def _read(source, frames, place):
    clip, _ = clips.read(pathlib.Path(source).expanduser(), place)
    # Codecs know no odd sizes: what was completed may have a row or a column more.
    clip = clip[:, : frames.shape[1], : frames.shape[2]]
    if clip.shape != frames.shape:
        raise InputError(
            f"--methods: {source}: {len(clip)} frames of {clip.shape[2]}x{clip.shape[1]}, where "
            f"--input has {len(frames)} of {frames.shape[2]}x{frames.shape[1]}"
        )
    return clip


if __name__ == "__main__":
    define_flags()
    runtime.run(main)

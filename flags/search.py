"""Flags of the search for z, and of what the command that completes with it writes.

The defaults are the command's own: fast. ``flags/papers`` holds those of the papers.
"""

from absl import flags

from common.errors import InputError
from common.pictures import images as image_files
from flags import runtime as runtime_flags
from wgan_inpaint.search import settings as search_settings

FLAGS = flags.FLAGS

LOWRES = "lowres"  # the kind of mask that is none
# Fields of ``search_settings.Settings`` that are the flags of the same name.
_NAMES = ("iterations", "optimizer", "learning_rate", "decay", "beta_1", "beta_2", "momentum")
_NAMES += ("hmc_step", "hmc_leapfrogs", "hmc_beta", "hmc_anneal", "prior_weight", "context")
_NAMES += ("window", "clip", "candidates", "seed")
ANIMATIONS = tuple(suffix[1:] for suffix in image_files.ANIMATION_SUFFIXES)


def define():
    """Defines the flags of ``search_settings.Settings``; ``--seed`` too if no group has it yet."""
    default = search_settings.FAST
    flags.DEFINE_integer("iterations", default.iterations, "Of the optimizer.", lower_bound=0)
    flags.DEFINE_enum(
        "optimizer",
        default.optimizer,
        search_settings.OPTIMIZERS,
        "Adam, Nesterov's momentum, Hamiltonian Monte Carlo, or limited-memory BFGS.",
    )
    rate = {"lower_bound": 0.0}
    flags.DEFINE_float("learning_rate", default.learning_rate, "Of adam and momentum.", **rate)
    flags.DEFINE_enum(
        "decay",
        default.decay,
        search_settings.DECAYS,
        "adam, momentum: the rate stays, or falls along a cosine to 0 after --iterations.",
    )
    share = {"lower_bound": 0.0, "upper_bound": 1.0}
    flags.DEFINE_float("beta_1", default.beta_1, "Of adam.", **share)
    flags.DEFINE_float("beta_2", default.beta_2, "Of adam.", **share)
    flags.DEFINE_float("momentum", default.momentum, "Of momentum.", **share)
    flags.DEFINE_float("hmc_step", default.hmc_step, "hmc: step size.", **rate)
    flags.DEFINE_integer(
        "hmc_leapfrogs",
        default.hmc_leapfrogs,
        "hmc: leapfrog steps in an iteration.",
        lower_bound=1,
    )
    flags.DEFINE_float("hmc_beta", default.hmc_beta, "hmc: inverse temperature.", **rate)
    flags.DEFINE_float(
        "hmc_anneal", default.hmc_anneal, "hmc: hmc_beta's factor in each iteration.", **rate
    )
    flags.DEFINE_float("prior_weight", default.prior_weight, "Lambda, of the prior loss.", **rate)
    flags.DEFINE_enum(
        "context", default.context, search_settings.CONTEXTS, "How known pixels are compared."
    )
    flags.DEFINE_integer(
        "window", default.window, "weighted_l1: side of the neighbourhood (pixels).", lower_bound=1
    )
    flags.DEFINE_bool("clip", default.clip, "Clip z to [-1, 1] after each iteration.")
    flags.DEFINE_integer(
        "restarts",
        default.restarts,
        "Searches for each completion; the one of least loss is kept.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "init",
        "auto",
        ["auto", *search_settings.INITS],
        "First z: at random, the best of --candidates, or the encoder's guess with the best of "
        "--candidates behind it; auto: encoder if there is one that fits, else ranked.",
    )
    flags.DEFINE_integer(
        "candidates", default.candidates, "Random z to choose from.", lower_bound=1
    )
    if "seed" not in FLAGS:
        flags.DEFINE_integer(
            "seed", 0, "Of everything random.", lower_bound=0, upper_bound=2**31 - 1
        )


def define_completion():
    """Defines the flags of the command that completes."""
    flags.DEFINE_integer(
        "batch_size",
        0,
        "Images searched for at once, blanks being added if there are fewer: in float32 a result "
        "depends on the batch's size, by rounding, and on nothing else of its company. Memory "
        "grows with batch_size x restarts x samples; 0: those three make 16, if they can; a single "
        "image is alone.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "samples",
        1,
        "Different completions of each image, each of its own restarts.",
        lower_bound=1,
    )
    flags.DEFINE_bool("history", True, "Write the losses of every iteration, NAME_loss.csv.")
    flags.DEFINE_list("snapshots", [], "Iterations whose pictures are kept, in NAME_strip.png.")
    flags.DEFINE_integer(
        "snapshot_every", 0, "Keep every so-manyth iteration's picture; 0: none.", lower_bound=0
    )
    flags.DEFINE_enum(
        "animation", "none", ["none", *ANIMATIONS], "Kept pictures as an animation, NAME_search.*."
    )
    flags.DEFINE_integer(
        "lowres",
        8,
        f"mask_kind={LOWRES}: an image is known by its averages over blocks of this side (pixels); "
        "the result has the generator's size.",
        lower_bound=2,
    )
    runtime_flags.define_xla()


def obey(stored):
    """Makes a model's own settings of the search the defaults of the flags.

    Args:
      stored: the fields of ``search_settings.Settings`` that its JSON file holds. The seed is left
        out, which also draws holes, and so is ``lowres``.

    Raises:
      InputError: they are none.
    """
    try:
        for name in {*_NAMES, "restarts", "init"} & {*stored} - {"seed"}:
            if not FLAGS[name].present:
                FLAGS.set_default(name, stored[name])
    except (TypeError, ValueError, flags.Error) as error:
        raise InputError(f"--model={FLAGS.model}: its search cannot be read ({error})") from error


def lowres():
    """The side of the blocks of ``--mask_kind=lowres``, or 0.

    Raises:
      InputError: contradictory flags.
    """
    if LOWRES not in FLAGS.mask_kind:
        return 0
    if FLAGS.mask_kind != [LOWRES] or FLAGS.mask:
        raise InputError(
            f"--mask_kind={LOWRES}: stands alone, without --mask; it is super-resolution"
        )
    return FLAGS.lowres


def settings(networks_=None, block=0, samples=1):
    """The ``search_settings.Settings`` that the flags describe.

    Args:
      networks_: ``latent_search.Networks``, for ``--init=auto``; None is one without encoder.
      block: of ``lowres``.
      samples: completions of each image; the settings count the restarts of all of them.

    Raises:
      InputError: contradictory flags.
    """
    init = FLAGS.init
    if block and init == "encoder" and not FLAGS["init"].present:
        init = "auto"  # the model's own, for holes
    if init == "auto":
        has_encoder = networks_ is not None and networks_.encoder is not None
        init = "encoder" if has_encoder and not block else "ranked"
    restarts = FLAGS.restarts * samples
    if samples > 1 and init != "random" and restarts > FLAGS.candidates:
        raise InputError(
            f"--samples={samples}: with {FLAGS.restarts} restarts each, more than --candidates="
            f"{FLAGS.candidates}, of which they are the best; raise that"
        )
    chosen = {name: FLAGS[name].value for name in _NAMES}
    return search_settings.Settings(**chosen, restarts=restarts, init=init, lowres=block)


def extras():
    """The ``search_settings.Extras`` that the flags describe.

    Raises:
      InputError: contradictory flags.
    """
    try:
        chosen = {int(text) for text in FLAGS.snapshots}
    except ValueError as error:
        raise InputError(
            f"--snapshots={','.join(FLAGS.snapshots)}: give numbers of iterations"
        ) from error
    if FLAGS.snapshot_every:
        chosen |= {*range(0, FLAGS.iterations, FLAGS.snapshot_every), FLAGS.iterations}
    wrong = [n for n in sorted(chosen) if not 0 <= n <= FLAGS.iterations]
    if wrong:
        raise InputError(
            f"--snapshots: {wrong[0]} is none of the {FLAGS.iterations} iterations, from 0"
        )
    if FLAGS.animation != "none" and not chosen:
        raise InputError(
            f"--animation={FLAGS.animation}: of what? give --snapshots or --snapshot_every"
        )
    return search_settings.Extras(
        samples=FLAGS.samples,
        history=FLAGS.history,
        snapshots=tuple(sorted(chosen)),
        animation="" if FLAGS.animation == "none" else FLAGS.animation,
    )

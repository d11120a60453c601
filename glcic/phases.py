"""The three training phases of GLCIC ([1] Algorithm 1, [2] Section 4.2).

1. ``completion``: the completion network alone, masked MSE (and in [2] the perceptual loss).
2. ``discriminator``: the discriminators alone, on the pictures of a completion network at rest.
3. ``joint``: both in turn; the completion network's loss gains alpha times the GAN loss.

Discriminators see completed pictures with the known pixels put back, and real pictures with
holes (and so patches, see ``glcic.patches``) of their own. [3] has the last phase alone, and one
discriminator that sees the completion network's output itself.

[1] Iizuka 2017, Globally and Locally Consistent Image Completion.
[2] Wang & Wang 2020, 基于生成对抗网络的图像修复算法.
[3] 禅与计算机程序设计艺术, GAN在图像修复中的创新应用实践, Sections 4.3 and 4.4.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from common import figures
from common.completion import blending
from common.pictures import datasets, masks
from common.pictures import images as image_files
from common.training import attention, folding, losses, spectral, starting, vgg19
from common.training.damage import damage_of, parted
from common.training.optimizers import optimizer
from common.training.runs import Row
from common.training.trainer import Trainer
from glcic import inference, patches
from glcic.networks import (
    chain,
    completion_network,
    discriminator,
    smaller_discriminator,
    without_branch,
)
from glcic.settings import PAPERS_LAYERS, PHASES

SAMPLES = 8  # images of a sample grid
MEAN_COLOR_IMAGES = (100, 1000)  # at least, as of few pictures each has many crops; at most
# The readings of L_M: ``settings.Glcic.reconstruction``.
RECONSTRUCTIONS = {
    "all": losses.masked_mse,
    "missing": losses.missing_mse,
    "each_hole": losses.each_hole_mse,
}
NAMES = {"squared": "mse", "absolute": "l1"}  # of L_M in the log, by its distance
COLORS = {"grey": 0.5, "black": 0.0}  # of a hole that does not have the mean colour


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of the completion network's loss: gamma L_M + alpha GAN + beta L_p ([2] eq. 4).

    The papers leave open how its terms are meant; a weight means another thing under each reading.
    Gamma is 1 but for [3].

    Attributes:
      alpha: of the adversarial term, in phase 3.
      beta: of the perceptual term, in phases 1 and 3.
      gan: of ``losses.ADVERSARIAL``: the papers' is "minimax".
      reconstruction: L_M is ``losses.masked_mse`` ("all") or ``losses.missing_mse`` ("missing"),
        which is some twenty times as large, so that alpha and beta count for so much less; or
        ``losses.each_hole_mse`` ("each_hole", [3]).
      gamma: of L_M, in phases 1 and 3.
      known: of known pixels in L_M, where a missing one's is 1: the papers' is 0.
      distance: of L_M, one of ``losses.DISTANCES``: the papers' is "squared".
      scales: sizes at which L_M and L_p are measured, each half of the one before; their mean
        counts.
      perceptual_on: L_p is that of the completed picture, the known pixels put back ("pasted"), or
        that of the network's output, which then has to match the known pixels, too ("output").
      content: L_p is ``losses.content_mse`` ([3]) and not ``losses.perceptual_l1`` ([2]).
      judged: discriminators see the completed picture, the known pixels put back ("pasted"), or the
        network's output ("output", [3]).
    """

    alpha: float
    beta: float = 0.0
    gan: str = "nonsaturating"
    reconstruction: str = "all"
    perceptual_on: str = "pasted"
    known: float = 0.0
    distance: str = "squared"
    scales: int = 1
    gamma: float = 1.0
    content: bool = False
    judged: str = "pasted"


class PhasesTrainer(Trainer):
    """Completion network and discriminators with one step for each phase.

    ``fit`` wants batches of uint8 [B, S, S, 3]. Holes are drawn in the graph from
    (seed, step), and so is, of several, the one that the local discriminator sees.
    """

    measures = {
        "completion": ("loss", "mse", "l1", "perceptual"),
        "discriminator": ("discriminator",),
        "joint": ("loss", "mse", "l1", "perceptual", "gan", "discriminator"),
    }
    draws = ("holes",)

    def __init__(
        self,
        networks,
        optimizers,
        mask_spec,
        size,
        patch_size,
        weights,
        features=None,
        seed=0,
        fill="mean",
        supervision=None,
    ):
        """Makes a trainer.

        Args:
          networks: {"completion", "discriminator"}, as ``glcic.networks`` builds them.
          optimizers: one for each of them.
          mask_spec: ``common.pictures.masks.MaskSpec`` of the holes, for full-size images.
          size: S, side of the images in pixels.
          patch_size: side of the local discriminator's input in pixels; 0 if there is none.
          weights: a ``Weights``.
          features: images [B, S, S, 3] to a list of feature maps; needed if beta > 0.
          seed: of the holes, and of the one that the local discriminator sees.
          fill: colour of the hole in the completion network's input: "mean", that of the training
            set, or one of ``COLORS``.
          supervision: ``settings.Glcic``, which say whether pictures are damaged; None: they are
            not.
        """
        super().__init__(networks, optimizers, seed)
        if weights.beta and features is None:
            raise ValueError("the perceptual loss needs a feature extractor")
        self.mask_spec, self.size, self.patch_size = mask_spec, size, patch_size
        self.weights_of_loss, self.features, self.fill = weights, features, fill
        self.supervision = supervision
        self.shrink, self.judge = 1, "discriminator"

    @property
    def completion(self):
        """The completion network."""
        return self.networks["completion"]

    @property
    def discriminator(self):
        """Both discriminators and what joins them, for the size of the phase."""
        return self.networks[self.judge]

    def begin(self, row):
        """Chooses the phase and the size.

        A smaller size is the progressive training that "GAN在图像修复中的创新应用实践" names
        (Section 3.4): images, holes and patches are so many times smaller, and discriminators are
        those of ``glcic.networks.smaller_discriminator``.
        """
        shrink = self.size // (row.size or self.size)
        judge = "discriminator" if shrink == 1 else f"discriminator_{row.size}"
        if row.phase != "completion" and judge not in self.networks:
            raise ValueError(f"no phase {row.phase!r} at 1/{shrink} of the size")
        super().begin(row)
        self.shrink = shrink
        if row.phase != "completion":
            self.judge = judge

    def prepare(self, first, pictures=None):
        """Sets the colour that the input layer fills holes with and subtracts.

        It is the training set's mean ([1] Section 3.2) or another one, which is no paper's but for
        the black of "GAN在图像修复中的创新应用实践" (Section 4.1).
        """
        if self.fill == "mean":
            least, most = MEAN_COLOR_IMAGES
            color = datasets.mean_color(first(min(most, max(least, pictures or most))))
        else:
            color = [COLORS[self.fill]] * 3
        self.completion.get_layer("input").mean_color.assign(color)

    def _shrunk(self, images):
        """Images at the size of the phase."""
        if self.shrink == 1:
            return images
        return tf.nn.avg_pool2d(images, self.shrink, self.shrink, "VALID")

    def _shrunk_damaged(self, images, damage):
        """The same of damaged images, and where they are damaged: [B, S, S, 3], [B, S, S, 1].

        A smaller pixel is damaged if one of those that it stands for is.
        """
        if self.shrink == 1:
            return images, damage
        damage = tf.nn.max_pool2d(damage, self.shrink, self.shrink, "VALID")
        return tf.where(damage > 0.5, 0.0, self._shrunk(images)), damage

    def _spec(self):
        return self.mask_spec.scaled(1 / self.shrink) if self.shrink > 1 else self.mask_spec

    def scene(self, data):
        """What a step sees.

        Args:
          data: uint8 [B, S, S, 3].

        Returns:
          (images in [0, 1], holes of those to complete, holes of those that stand for real ones).
        """
        images = self._images(data)
        both = self._holes(images, 2)
        return images, *tf.split(both, 2)

    def _images(self, data):
        return self._shrunk(tf.cast(data, tf.float32) / 255.0)

    def _holes(self, images, times=1):
        """Holes [times * B, H, W, 1]; the first B are the same however often."""
        batch, height, width, _ = images.shape
        return masks.draw(self._spec(), times * batch, height, width, self.random("holes"))

    def _each_hole(self, holes):
        """The holes [B, H, W, 1] of ``scene``, each in a channel of its own."""
        batch, height, width, _ = holes.shape
        seed = self.random("holes")
        return masks.draw_each(self._spec(), batch, height, width, seed)

    def _reconstruction(self, completed, images, holes):
        """The loss without its adversarial term, and its parts by name."""
        weights = self.weights_of_loss
        one_by_one = weights.reconstruction == "each_hole"
        error = losses.pyramid(
            RECONSTRUCTIONS[weights.reconstruction],
            completed,
            images,
            self._each_hole(holes) if one_by_one else holes,
            weights.scales,
            known_weight=weights.known,
            distance=weights.distance,
        )
        parts, total = {NAMES[weights.distance]: error}, weights.gamma * error
        if weights.beta:
            judged = completed
            if weights.perceptual_on == "pasted":
                judged = holes * completed + (1 - holes) * images
            pairs = [(judged, images)]
            for _ in range(1, weights.scales):
                pairs.append([tf.nn.avg_pool2d(x, 2, 2, "VALID") for x in pairs[-1]])
            distance = losses.content_mse if weights.content else losses.perceptual_l1
            each = [distance(*map(self.features, pair)) for pair in pairs]
            parts["perceptual"] = tf.add_n(each) / weights.scales
            total += weights.beta * parts["perceptual"]
        return total, parts

    def _places(self, holes, other_holes):
        """Where the local discriminator looks: corners for the holes and for the others."""
        if not self.patch_size:
            return None, None
        both, size = tf.concat([holes, other_holes], axis=0), self.patch_size // self.shrink
        return tf.split(patches.corners(both, size, self.random("holes")), 2)

    def _judge(self, images, places):
        seen = {"images": images}
        if self.patch_size:
            seen["patches"] = patches.cut(images, places, self.patch_size // self.shrink)
        return tf.nest.flatten(self.discriminator(seen, training=True))  # of several scales

    def damage(self, job):
        """Of ``--supervision=damaged``."""
        return damage_of(self.supervision, job) if self.supervision else None

    def _shown(self, completed, images, holes):
        """What the discriminators see of the completion network's output."""
        if self.weights_of_loss.judged == "output":
            return completed
        return holes * completed + (1 - holes) * images

    def completion_step(self, data):
        """Phase 1; of damaged pictures, [B, S, S, 4], see ``_damaged_step``."""
        if data.shape[-1] == 4:
            return self._damaged_step(data)
        images = self._images(data)
        holes = self._holes(images)
        with tf.GradientTape() as tape:
            completed = self.completion({"images": images, "masks": holes}, training=True)
            loss, parts = self._reconstruction(completed, images, holes)
        self.apply(tape, loss, "completion")
        return {"loss": loss, **parts}

    def _damaged_step(self, data):
        """Phase 1 on pictures of which some pixels are damaged.

        Holes are drawn on top, and the network sees both as one. The loss is that of drawn holes
        where they hide what is known; the rest of them is nothing to ``losses.missing_mse``, and as
        good as known to the others. Behind the damage both sides of every term have the network's
        own colours.
        """
        images, damage = self._shrunk_damaged(*parted(data))
        drawn = self._holes(images)
        inputs = {"images": images, "masks": tf.maximum(drawn, damage)}
        with tf.GradientTape() as tape:
            completed = self.completion(inputs, training=True)
            own = tf.stop_gradient(completed)
            truth = tf.where(damage > 0.5, own, images)
            completed = tf.where(damage > 0.5, own, completed)
            loss, parts = self._reconstruction(completed, truth, drawn * (1 - damage))
        self.apply(tape, loss, "completion")
        return {"loss": loss, **parts}

    def discriminator_step(self, data):
        """Phase 2."""
        images, holes, other_holes = self.scene(data)
        completed = self.completion({"images": images, "masks": holes}, training=False)
        shown = self._shown(completed, images, holes)
        places, other_places = self._places(holes, other_holes)
        return {"discriminator": self._train_discriminator(images, other_places, shown, places)}

    def _train_discriminator(self, real, real_places, fake, fake_places):
        of_discriminator, _ = losses.ADVERSARIAL[self.weights_of_loss.gan]
        with tf.GradientTape() as tape:
            real_scores = self._judge(real, real_places)
            with spectral.fixed(self.discriminator):
                fake_scores = self._judge(tf.stop_gradient(fake), fake_places)
            loss = tf.add_n(list(map(of_discriminator, real_scores, fake_scores)))
        self.apply(tape, loss, self.judge)
        return loss

    def joint_step(self, data):
        """Phase 3."""
        images, holes, other_holes = self.scene(data)
        places, other_places = self._places(holes, other_holes)
        with tf.GradientTape() as tape:
            completed = self.completion({"images": images, "masks": holes}, training=True)
            shown = self._shown(completed, images, holes)
            with tape.stop_recording():
                discriminator_loss = self._train_discriminator(images, other_places, shown, places)
            loss, parts = self._reconstruction(completed, images, holes)
            _, of_completion = losses.ADVERSARIAL[self.weights_of_loss.gan]
            with spectral.fixed(self.discriminator):
                parts["gan"] = tf.add_n(list(map(of_completion, self._judge(shown, places))))
            loss += self.weights_of_loss.alpha * parts["gan"]
        self.apply(tape, loss, "completion")
        return {"loss": loss, **parts, "discriminator": discriminator_loss}

    def sampler(self, first, run):
        """A function that writes a grid of fixed images and holes to a path.

        Columns: the holes, the network's output, the completed picture, the original; all at the
        size of the phase. With contextual attention, before the original, where each missing place
        looks: see ``common.figures.show_offsets``.

        Args:
          first: from a number to so many first training images, uint8 [N, S, S, 3 or 4].
          run: the ``common.training.runs.RunDirectory``.
        """
        del run
        images = first(SAMPLES)

        def write(path):
            originals, damage = self._shrunk_damaged(*parted(tf.constant(images)))
            more = [self.show_attention] if attention.attention_of(self.completion) else []
            place = path, originals.numpy(), self._spec()
            save_samples(*place, self.complete, self.seed, damage.numpy(), more)

        return write

    def show_attention(self, inputs):
        """Where the missing places of {"images", "masks"} look, see ``figures.show_looks``."""
        layer = attention.attention_of(self.completion)
        seen = attention.attended(self.completion)(inputs, training=False)
        looks = layer.where_it_looks(seen, tf.constant(inputs["masks"])).numpy()
        return figures.show_looks(inputs["images"], inputs["masks"], looks, layer.pixels)

    def example(self, name, images):
        """What the completion network takes, of images [N, S, S, 3 or 4] in [0, 1]."""
        del name
        holes = masks.draw(self.mask_spec, *images.shape[:3], [self.seed, -1])
        if images.shape[-1] == 4:
            holes = tf.maximum(holes, images[..., 3:])
        return {"images": tf.constant(images[..., :3]), "masks": holes}

    def complete(self, inputs):
        """{"images", "masks"} to the completion network's output, all of [B, H, W, C]."""
        return self.completion(inputs, training=False)


def save_samples(path, originals, mask_spec, complete, seed, damage=0, more=()):
    """Draws a grid of holes, the network's output, completed pictures and originals.

    Args:
      path: where to.
      originals: float32 [N, H, W, 3] in [0, 1].
      mask_spec: of the holes.
      complete: from {"images", "masks"} to the output [N, H, W, 3].
      seed: of the holes.
      damage: [N, H, W, 1], 1 where originals are damaged.
      more: further columns: functions from {"images", "masks"} to pictures [N, H, W, 3].
    """
    holes = np.maximum(masks.draw(mask_spec, *originals.shape[:3], [seed, -1]).numpy(), damage)
    outputs = complete({"images": originals, "masks": holes}).numpy()
    completed = blending.paste(originals, outputs, holes)
    shown = figures.show_hole(originals, holes)
    inputs = {"images": originals, "masks": holes}
    columns = [shown, outputs, completed, *(show(inputs) for show in more), originals]
    rows = list(map(list, zip(*columns, strict=True)))
    image_files.write_image(path, figures.compose_grid(rows))


# The room of the method "glcic": see ``common.methods``. ``settings`` are ``settings.Glcic``.


def _restored(network, arrays, example):
    """What an exported completion network kept, see ``folding.unfold`` and ``folding.restore``."""
    if not attention.attention_of(network):
        return folding.unfold(chain(network), arrays, example)
    if len(arrays) == len(network.variables):
        return folding.restore(network, arrays, example)
    plain, seeing, blind = without_branch(network)
    left = folding.unfold(plain, arrays, example)
    starting.assign_widened(seeing.kernel, blind.kernel.numpy())
    shared = {v.path for v in plain.variables} | {seeing.kernel.path}
    return left + [v.path for v in network.variables if v.path not in shared]


KEPT = {"completion": ("network", _restored)}


def networks(settings, policy="float32"):
    """{name: network} of the run's checkpoint."""
    architecture, options = settings.tables, (settings.width, policy)
    built = {
        "completion": completion_network(architecture, *options, settings.levelled),
        "discriminator": discriminator(architecture, *options),
    }
    for stage in settings.stages:
        if stage.phase != "completion":
            scale = (architecture.image_size // stage.size).bit_length() - 1
            built[f"discriminator_{stage.size}"] = smaller_discriminator(
                built["discriminator"], architecture, scale, *options
            )
    return built


def build(settings, holes, policy):
    """A ``PhasesTrainer``."""
    architecture, decay = settings.tables, settings.decay == "cosine"
    alone = {
        "completion": (settings.completion_steps, settings.learning_rate),
        "discriminator": (
            settings.discriminator_steps,
            settings.discriminator_learning_rate or settings.learning_rate,
        ),
    }
    built = networks(settings, policy)
    optimizers = {}
    for name in built:
        steps, rate = alone[name.partition("_")[0]]
        optimizers[name] = optimizer(
            settings.optimizer, rate, decay_steps=decay * (steps + settings.joint_steps)
        )
    features = None
    if settings.beta:
        layer = settings.content_layer
        content = {"layers": (layer,), "linear": True, "divisor": vgg19.TORCHVISION}
        if layer == PAPERS_LAYERS:
            content = {}
        features = vgg19.feature_extractor(settings.vgg19_weights, dtype=policy, **content)
    return PhasesTrainer(
        built,
        optimizers,
        holes,
        architecture.image_size,
        architecture.patch_size,
        Weights(
            settings.alpha,
            settings.beta,
            settings.gan,
            settings.reconstruction,
            settings.perceptual_on,
            settings.known_weight,
            settings.distance,
            settings.scales,
            settings.reconstruction_weight,
            settings.content_layer != PAPERS_LAYERS,
            settings.judged,
        ),
        features,
        settings.seed,
        settings.fill,
        settings,
    )


def plan(settings):
    """The three phases as rows of a run, each from its smaller sizes on, if it has any steps."""
    batch_size = settings.batch_size
    small = min(settings.progressive_steps, settings.completion_steps)
    half = {"size": settings.size // 2, "name": "completion_half_size"}
    rows = [Row("completion", small, settings.progressive_batch_size or batch_size, **half)]
    for phase in PHASES:
        left = getattr(settings, f"{phase}_steps") - small * (phase == "completion")
        for stage in settings.stages:
            if stage.phase == phase:
                name = f"{phase}_{stage.size}"
                rows.append(Row(phase, stage.steps, stage.batch_size, stage.size, name))
                left -= stage.steps
        rows.append(Row(phase, left, batch_size))
    return [row for row in rows if row.steps]


def exported(restored, completing, storage, jit_compile):
    """The completion network as a fast graph, and what is told of it."""
    del completing, jit_compile
    own, network = restored.settings, restored.networks["completion"]
    architecture = own.tables
    described = {}
    if architecture.branch:
        described["attention_pixels"] = attention.attention_of(network).pixels

        def built(policy):
            return completion_network(architecture, own.width, policy, own.levelled)

        module = inference.StoredCompletion(built, network.get_weights(), storage)
    else:
        module = inference.FoldedCompletion(network, storage)
    return module, {
        "architecture": own.architecture,
        "image_size": architecture.image_size,
        "hole_size": architecture.thickest_hole,
        **described,
    }

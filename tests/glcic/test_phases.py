"""Each phase trains what it should, by the right gradient, and nothing else."""

import collections
import dataclasses
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.pictures import images as image_files
from common.pictures import masks
from common.pictures.masks import MaskSpec
from common.settings import own
from common.training import losses, vgg19
from common.training.runs import Row
from common.training.trainer import describe
from glcic import networks, patches, phases
from glcic.networks import Conv
from glcic.settings import PAPERS_LAYERS, Glcic

# The papers' building blocks in small: 16 px images, 8 px patches.
SMALL = networks.Architecture(
    completion=(
        Conv(5, 1, 1, 6),
        Conv(3, 1, 2, 8),
        Conv(3, 2, 1, 8),
        Conv(4, 1, 1 / 2, 6),
        Conv(3, 1, 1, 3),
    ),
    output="tanh",
    image_size=16,
    patch_size=8,
    global_outputs=(6,),
    local_outputs=(6,),
    features=8,
)
# The same with the listing's discriminator: LeakyReLU, and a 4x4 convolution to one number.
ALONE = dataclasses.replace(
    SMALL,
    patch_size=0,
    global_outputs=(6, 7),
    local_outputs=(),
    leak=0.2,
    first_norm=False,
    bias=False,
    hole_size=4,
)
HOLES = MaskSpec(kinds=("rectangle",), hole_min=4, hole_max=8)
SEVERAL = MaskSpec(kinds=("square",), holes=3, hole_min=2, hole_max=4)
# XLA takes longer over the drawing of random holes than over all the rest of a step.
FIXED = MaskSpec(kinds=("center",), hole_size=8)
RATE = 0.1
PHASES = tuple(phases.PhasesTrainer.measures)
IMAGES = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8))


# Networks are built once for each test that has them at a time: {tables, type: [networks]}.
_free, _lent = collections.defaultdict(list), []


def lend(architecture, dtype):
    """Both networks, with the same weights every time, for one trainer of one test."""
    free = _free[architecture, dtype]
    if not free:
        random.seed(1)
        built = {
            "completion": networks.completion_network(architecture, dtype=dtype),
            "discriminator": networks.discriminator(architecture, dtype=dtype),
        }
        free.append((built, {name: network.get_weights() for name, network in built.items()}))
    built, weights = free.pop()
    _lent.append((free, (built, weights)))
    for name, network in built.items():
        network.set_weights(weights[name])
    return built


def take_back():
    """At the end of a test."""
    while _lent:
        free, networks_ = _lent.pop()
        free.append(networks_)


def make_trainer(
    alpha=0.5,
    beta=0.0,
    minimax=False,
    features=None,
    dtype="float32",
    holes=HOLES,
    seed=5,
    fill="mean",
    architecture=SMALL,
    gan="nonsaturating",
    **readings,
):
    """A trainer with plain gradient descent, the same weights every time."""
    built = lend(architecture, dtype)
    return phases.PhasesTrainer(
        built,
        {name: keras.optimizers.SGD(RATE) for name in built},
        holes,
        architecture.image_size,
        architecture.patch_size,
        phases.Weights(alpha, beta, "minimax" if minimax else gan, **readings),
        features,
        seed,
        fill,
    )


def trained(network):
    return [v.numpy() for v in network.trainable_variables]


def moving(network):
    return [v.numpy() for v in network.non_trainable_variables if "moving" in v.path]


def step(trainer, phase, compiled=False, size=16, images=IMAGES, traced=False):
    """One step; {metric: float}."""
    trainer.begin(Row(phase, 1, len(images), size))
    train_step = (
        tf.function(trainer.train_step, jit_compile=compiled, autograph=False)
        if compiled or traced
        else trainer.train_step
    )
    return {name: float(value) for name, value in train_step(images).items()}


def same(before, after):
    """Which of the arrays are the same to the bit."""
    return [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


def close(actual, expected, atol=2e-6):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_phase_1_trains_the_completion_network_alone():
    trainer = make_trainer()
    others = trainer.discriminator.get_weights()
    weights, statistics = trained(trainer.completion), moving(trainer.completion)
    values = step(trainer, "completion")
    assert set(values) == {"loss", "mse"}
    assert values["loss"] == values["mse"]
    assert all(same(others, trainer.discriminator.get_weights()))
    assert not any(same(weights, trained(trainer.completion)))
    assert not any(same(statistics, moving(trainer.completion)))
    assert int(trainer.step) == 1


def test_phase_2_trains_the_discriminators_alone():
    trainer = make_trainer()
    others = trainer.completion.get_weights()
    weights, statistics = trained(trainer.discriminator), moving(trainer.discriminator)
    assert set(step(trainer, "discriminator")) == {"discriminator"}
    assert all(same(others, trainer.completion.get_weights()))
    assert not any(same(weights, trained(trainer.discriminator)))
    assert not any(same(statistics, moving(trainer.discriminator)))


def test_phase_3_trains_both():
    trainer = make_trainer()
    networks_ = trainer.completion, trainer.discriminator
    before = [trained(n) + moving(n) for n in networks_]
    assert set(step(trainer, "joint")) == {"loss", "mse", "gan", "discriminator"}
    for network, old in zip(networks_, before, strict=True):
        assert not any(same(old, trained(network) + moving(network)))


def test_the_mean_colour_is_kept_and_not_trained():
    trainer = make_trainer()
    trainer.prepare(lambda count: np.tile(IMAGES, [count // len(IMAGES), 1, 1, 1]))
    color = trainer.completion.get_layer("input").mean_color
    expected = IMAGES.numpy().mean((0, 1, 2)) / 255
    for phase in PHASES:
        step(trainer, phase)
        np.testing.assert_allclose(color, expected, rtol=1e-6)


@pytest.mark.parametrize(("pictures", "seen"), [(3, 100), (300, 300), (10**6, 1000), (None, 1000)])
def test_the_mean_colour_is_that_of_each_picture_once_of_a_thousand_at_most(pictures, seen):
    asked = []
    make_trainer().prepare(lambda count: asked.append(count) or IMAGES.numpy(), pictures)
    assert asked == [seen]


@pytest.mark.parametrize(("fill", "color"), [("grey", 0.5), ("black", 0.0)])
def test_another_colour_fills_holes_without_a_look_at_the_training_pictures(fill, color):
    trainer = make_trainer(fill=fill)
    trainer.prepare(None)
    layer = trainer.completion.get_layer("input")
    image = np.full((1, 2, 2, 3), 0.75, np.float32)
    hole = np.zeros((1, 2, 2, 1), np.float32)
    hole[0, 0, 0] = 1
    seen = layer({"images": image, "masks": hole}).numpy()[..., :3] + color
    np.testing.assert_allclose(seen[0, 0, 0], color)
    np.testing.assert_allclose(seen[0, 1, 1], 0.75)


def descended(network, tape, loss):
    gradients = tape.gradient(loss, network.trainable_variables)
    return [v - RATE * g for v, g in zip(trained(network), gradients, strict=True)]


def judge(trainer, images, holes):
    places = patches.corners(holes, SMALL.patch_size, seed=[0, 0])  # each hole fits: any seed
    seen = {"images": images, "patches": patches.cut(images, places, SMALL.patch_size)}
    return trainer.discriminator(seen, training=True)


def hand_computed_scene(trainer, training):
    """Images, their holes, other holes, the network's output, and that pasted into the images."""
    images, holes, other_holes = trainer.scene(IMAGES)
    completed = trainer.completion({"images": images, "masks": holes}, training=training)
    return images, holes, other_holes, completed, tf.where(holes > 0, completed, images)


def train_discriminator_by_hand(trainer, training):
    """One textbook step on real images with holes of their own and on completed ones."""
    images, holes, other_holes, _, pasted = hand_computed_scene(trainer, training)
    with tf.GradientTape() as tape:
        loss = losses.discriminator_gan(
            judge(trainer, images, other_holes), judge(trainer, tf.constant(pasted.numpy()), holes)
        )
    network = trainer.discriminator
    new = descended(network, tape, loss)
    for variable, value in zip(network.trainable_variables, new, strict=True):
        variable.assign(value)
    return float(loss)


def test_the_discriminators_alone_learn_from_real_and_completed_images():
    by_hand, trainer = make_trainer(), make_trainer()
    # A network that has learned something: its output depends on the image.
    for network in (by_hand.completion, trainer.completion):
        layer = network.get_layer("output")
        layer.kernel.assign(layer.kernel * 30)
    loss = train_discriminator_by_hand(by_hand, training=False)
    values = step(trainer, "discriminator")
    assert values["discriminator"] == pytest.approx(loss, rel=1e-5)
    # The moving statistics, too: of the real images, then of the completed ones.
    close(trainer.discriminator.get_weights(), by_hand.discriminator.get_weights())


def features(x):
    """Stands for VGG19."""
    return [x[:, ::2, ::2], 3 * x]


def reconstruction_error(
    completed, images, holes, reconstruction="all", known=0.0, distance="squared"
):
    """The readings of L_M, from their words."""
    power = {"squared": tf.square, "absolute": tf.abs}[distance]
    if reconstruction == "all":
        missing = tf.reduce_mean(power(holes * (completed - images)))
        return missing + known * tf.reduce_mean(power((1 - holes) * (completed - images)))
    each = [
        tf.reduce_mean(power(tf.boolean_mask((2 * c - 1) - (2 * x - 1), m[..., 0] > 0)))
        for c, x, m in zip(*map(tf.unstack, (completed, images, holes)), strict=True)
    ]
    return tf.add_n(each) / len(each)


def joint_step_by_hand(trainer, alpha, minimax, beta, perceptual_on="pasted", **readings):
    """One for each network in turn ([1] Algorithm 1): the completion network's new weights."""
    train_discriminator_by_hand(trainer, training=True)
    with tf.GradientTape() as tape:
        images, holes, _, completed, pasted = hand_computed_scene(trainer, training=True)
        loss = reconstruction_error(completed, images, holes, **readings)
        loss += alpha * losses.generator_gan(judge(trainer, pasted, holes), minimax)
        seen = {"pasted": pasted, "output": completed}[perceptual_on]
        loss += beta * losses.perceptual_l1(features(seen), features(images))
    return descended(trainer.completion, tape, loss)


@pytest.mark.parametrize(
    ("alpha", "minimax", "beta"),
    [(0.0, False, 0.0), (0.7, False, 0.0), (0.7, True, 0.0), (0.7, False, 0.2)],
)
def test_a_joint_step_is_one_step_of_each_by_its_own_gradient(alpha, minimax, beta):
    by_hand = make_trainer(alpha)
    completion = joint_step_by_hand(by_hand, alpha, minimax, beta)
    trainer = make_trainer(alpha, beta, minimax, features)
    step(trainer, "joint")
    close(trainer.discriminator.get_weights(), by_hand.discriminator.get_weights())
    close(trained(trainer.completion), completion)


@pytest.mark.parametrize(
    "readings",
    [
        {"reconstruction": "missing"},
        {"perceptual_on": "output"},
        {"distance": "absolute", "known": 0.15},
    ],
    ids=lambda readings: next(iter(readings.values())),
)
def test_a_joint_step_descends_the_loss_as_it_is_read(readings):
    by_hand = make_trainer()
    completion = joint_step_by_hand(by_hand, 0.7, False, 0.2, **readings)
    trainer = make_trainer(0.7, 0.2, features=features, **readings)
    usual = make_trainer(0.7, 0.2, features=features)
    for one in (trainer, usual):
        step(one, "joint")
    close(trained(trainer.completion), completion)
    assert not any(same(trained(usual.completion), trained(trainer.completion)))
    close(trainer.discriminator.get_weights(), by_hand.discriminator.get_weights())


def test_a_joint_step_is_the_listings():
    choices = {"reconstruction": "each_hole", "gamma": 10, "perceptual_on": "output"}
    choices |= {"content": True, "judged": "output", "holes": SEVERAL, "architecture": ALONE}
    by_hand, trainer = (make_trainer(1.0, 10.0, features=features, **choices) for _ in range(2))
    g, d = by_hand.completion, by_hand.discriminator
    images, holes, _ = by_hand.scene(IMAGES)
    each = masks.draw_each(SEVERAL, 2 * len(IMAGES), 16, 16, by_hand.random("holes"))[: len(IMAGES)]

    def bce(logits, label):
        p = tf.sigmoid(tf.cast(logits, tf.float64))
        return -tf.reduce_mean(tf.math.log(p if label else 1 - p))

    def mse(a, b):
        return tf.reduce_mean(tf.square(a - b))

    with tf.GradientTape(persistent=True) as tape:
        fake = g({"images": images, "masks": holes}, training=True)
        with tape.stop_recording(), tf.GradientTape() as inner:
            real_score = d({"images": images}, training=True)
            fake_score = d({"images": fake}, training=True)
            d_loss = bce(real_score, 1) + bce(fake_score, 0)
        for variable, new in zip(d.trainable_variables, descended(d, inner, d_loss), strict=True):
            variable.assign(new)
        loss = tf.cast(bce(d({"images": fake}, training=True), 1), tf.float32)
        content = [mse(*pair) for pair in zip(features(fake), features(images), strict=True)]
        loss += 10 * tf.add_n(content)
        for n in range(3):
            hole = each[..., n : n + 1]
            loss += 10 / 3 * mse((2 * fake - 1) * hole, (2 * images - 1) * hole)
    assert d.output.shape == (None, 1)
    values = step(trainer, "joint")
    assert values["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert values["discriminator"] == pytest.approx(float(d_loss), rel=1e-5)
    close(trained(trainer.completion), descended(g, tape, loss))
    close(trainer.discriminator.get_weights(), d.get_weights())


def test_over_the_missing_pixels_the_error_is_some_twenty_times_as_large_as_over_all():
    # The papers' holes, sides in [96, 128] of 256 px, and an error that is alike everywhere.
    holes = masks.draw(
        MaskSpec(("rectangle",), holes=1, hole_min=96, hole_max=128), 64, 256, 256, [0, 0]
    )
    values = [
        float(reading(tf.fill([64, 256, 256, 3], 0.1), tf.zeros([64, 256, 256, 3]), holes))
        for reading in (phases.RECONSTRUCTIONS["missing"], phases.RECONSTRUCTIONS["all"])
    ]
    assert values[0] == pytest.approx(0.2**2, rel=1e-4)
    assert values[0] / values[1] == pytest.approx(4 * (256 / 112) ** 2, rel=0.05)  # 20.9


def test_alpha_weighs_the_completion_networks_adversarial_term_only():
    results = []
    for alpha in (0.0, 10.0):
        trainer = make_trainer(alpha)
        values = step(trainer, "joint")
        assert values["loss"] == pytest.approx(values["mse"] + alpha * values["gan"], rel=1e-5)
        results.append((trained(trainer.discriminator), trained(trainer.completion), values))
    assert all(same(results[0][0], results[1][0]))
    assert not any(same(results[0][1], results[1][1]))
    assert results[0][2]["discriminator"] == results[1][2]["discriminator"]


def test_beta_weighs_the_perceptual_distance_of_the_pasted_picture():
    trainer = make_trainer(beta=0.25, features=features)
    images, holes, _ = trainer.scene(IMAGES)
    completed = make_trainer().completion({"images": images, "masks": holes}, training=True)
    difference = (tf.abs(completed - images) * holes).numpy()
    expected = difference[:, ::2, ::2].mean() + 3 * difference.mean()
    values = step(trainer, "completion")
    assert values["perceptual"] == pytest.approx(expected, rel=1e-4)
    assert values["loss"] == pytest.approx(values["mse"] + 0.25 * expected, rel=1e-4)
    plain = make_trainer()
    step(plain, "completion")
    assert not any(same(trained(plain.completion), trained(trainer.completion)))
    with pytest.raises(ValueError, match="feature extractor"):
        make_trainer(beta=0.25)


def test_losses_at_several_sizes_are_descended():
    plain, trainer = make_trainer(), make_trainer(beta=0.25, features=features, scales=2)
    images, holes, _ = trainer.scene(IMAGES)
    completed = plain.completion({"images": images, "masks": holes}, training=True)
    mse = losses.pyramid(losses.masked_mse, completed, images, holes, 2)
    difference = (tf.abs(completed - images) * holes).numpy()
    judged = (holes * completed + (1 - holes) * images).numpy()
    half = [x.reshape(4, 8, 2, 8, 2, 3).mean((2, 4)) for x in (judged, images.numpy())]
    smaller = np.abs(half[0] - half[1])
    perceptual = [x[:, ::2, ::2].mean() + 3 * x.mean() for x in (difference, smaller)]
    values = step(trainer, "completion")
    assert values["mse"] == pytest.approx(float(mse), rel=1e-4)
    assert values["perceptual"] == pytest.approx(sum(perceptual) / 2, rel=1e-4)
    step(plain, "completion")
    assert not any(same(trained(plain.completion), trained(trainer.completion)))


def test_of_several_holes_both_networks_see_the_same_one(monkeypatch):
    seeds, seen = [], []
    choose, cut = patches.corners, patches.cut

    def choosing(holes, size, seed):
        seeds.append(tuple(np.array(seed)))
        return choose(holes, size, seed)

    def cutting(images, places, size):
        seen.append(places.numpy())
        return cut(images, places, size)

    monkeypatch.setattr(patches, "corners", choosing)
    monkeypatch.setattr(patches, "cut", cutting)
    trainer = make_trainer(holes=SEVERAL)
    _, holes, other_holes = (part.numpy() for part in trainer.scene(IMAGES))
    step(trainer, "joint")
    real, fake, judged = seen
    np.testing.assert_array_equal(fake, judged)
    for places, missing in ((fake, holes), (real, other_holes)):
        for (top, left), mask in zip(places, missing, strict=True):
            assert mask[top : top + 8, left : left + 8].any()
    step(trainer, "joint")
    step(make_trainer(holes=SEVERAL, seed=6), "discriminator")
    assert len(set(seeds)) == 3, "a seed of its own for each step of each run"


def several_squares(count):
    """Holes like those of ``SEVERAL``, uint8 [count, 16, 16, 1]."""
    bank = np.zeros((count, 16, 16, 1), np.uint8)
    for hole, corners in zip(
        bank, np.random.default_rng(0).integers(0, 13, (count, 3, 2)), strict=True
    ):
        for side, (y, x) in enumerate(corners, start=2):
            hole[y : y + side, x : x + side] = 1
    return bank


PERCEPTUAL = {"beta": 0.2, "features": features}


@pytest.mark.parametrize(
    ("phase", "options"),
    [
        ("completion", {"holes": FIXED}),
        ("discriminator", {"holes": FIXED}),
        ("joint", {"holes": FIXED, "architecture": ALONE}),
        (
            "joint",
            {
                "holes": MaskSpec(kinds=("files",), bank=several_squares(8)),
                "reconstruction": "missing",
                **PERCEPTUAL,
                "perceptual_on": "output",
            },
        ),
    ],
)
def test_a_step_compiled_with_xla_equals_the_eager_one(phase, options):
    eager, compiled = make_trainer(**options), make_trainer(**options)
    before = {name: getattr(eager, name).get_weights() for name in ("completion", "discriminator")}
    values = step(eager, phase)
    assert step(compiled, phase, compiled=True) == pytest.approx(values, rel=1e-4)
    for name, old in before.items():
        # Up to a hundredth of the step: rounding may turn the sign of what a ReLU sees.
        new = getattr(compiled, name).get_weights(), getattr(eager, name).get_weights()
        for start, a, b in zip(old, *new, strict=True):
            assert np.linalg.norm(a - b) <= 0.01 * np.linalg.norm(b - start) + 1e-6
    assert int(compiled.step) == 1


def test_mixed_precision_compiles_and_keeps_weights_and_losses_in_float32():
    trainer = make_trainer(dtype="mixed_bfloat16", holes=FIXED)
    before = [trained(n) for n in (trainer.completion, trainer.discriminator)]
    values = step(trainer, "joint", compiled=True)
    assert values == pytest.approx(step(make_trainer(holes=FIXED), "joint"), rel=0.1)
    for network, old in zip((trainer.completion, trainer.discriminator), before, strict=True):
        assert {v.dtype for v in network.weights} == {"float32"}
        assert not any(same(old, trained(network)))


def test_holes_are_a_function_of_the_seed_and_the_step():
    trainer, other = make_trainer(), make_trainer()
    _, fake, real = trainer.scene(IMAGES)
    np.testing.assert_array_equal(other.scene(IMAGES)[1], fake)
    assert (real != fake).numpy().any()
    trainer.step.assign(1)
    assert (trainer.scene(IMAGES)[1] != fake).numpy().any()


def test_metrics_are_means_until_reset():
    trainer = make_trainer()
    first = step(trainer, "completion")["mse"]
    mean = step(trainer, "completion")["mse"]
    trainer.reset_metrics()
    third = step(trainer, "completion")["mse"]
    repeated = make_trainer()
    singles = []
    for _ in range(3):
        repeated.reset_metrics()
        singles.append(step(repeated, "completion")["mse"])
    assert [first, mean, third] == pytest.approx(
        [singles[0], (singles[0] + singles[1]) / 2, singles[2]], rel=1e-5
    )


def test_progressive_steps_see_smaller_images_and_holes():
    trainer = make_trainer()
    step(trainer, "completion", size=8)
    images, holes = (part.numpy() for part in trainer.scene(IMAGES)[:2])
    whole = IMAGES.numpy() / np.float32(255)
    means = whole.reshape(4, 8, 2, 8, 2, 3).mean((2, 4))
    np.testing.assert_allclose(images, means, atol=1e-6)
    assert holes.shape == (4, 8, 8, 1)
    widths = holes[..., 0].max(1).sum(1)
    assert widths.min() >= 2
    assert widths.max() <= 4
    for phase in ("discriminator", "joint"):
        with pytest.raises(ValueError, match="1/2"):
            trainer.begin(Row(phase, 1, 4, 8))
    with pytest.raises(ValueError, match="warmup"):
        trainer.begin(Row("warmup", 1, 4))


def test_the_plan_is_the_three_phases():
    steps = {"completion_steps": 10, "discriminator_steps": 3, "joint_steps": 5}
    half = {"progressive_steps": 6, "progressive_batch_size": 8}
    assert phases.plan(Glcic(batch_size=4, **steps, **half)) == [
        Row("completion", 6, 8, 64, "completion_half_size"),
        Row("completion", 4, 4),
        Row("discriminator", 3, 4),
        Row("joint", 5, 4),
    ]
    steps = {"completion_steps": 2, "discriminator_steps": 0, "joint_steps": 1}
    assert [row.title for row in phases.plan(Glcic(progressive_steps=5, **steps))] == [
        "completion_half_size",
        "joint",
    ]


_known_values = {}  # of settings


def joint_values(monkeypatch, **chosen):
    """What a joint step measures under these settings."""
    key = tuple(chosen.items())
    if key not in _known_values:
        monkeypatch.setitem(networks.ARCHITECTURES, "small", SMALL)
        monkeypatch.setattr(phases.vgg19, "feature_extractor", lambda *_, **__: features)
        random.seed(1)
        settings = Glcic(architecture="small", beta=0.5, alpha=0.5, **chosen)
        trainer = phases.build(settings, HOLES, "float32")
        layer = trainer.completion.get_layer("conv1")
        layer.kernel.assign(layer.kernel * 30)
        trainer.prepare(lambda count: IMAGES.numpy()[:count])
        _known_values[key] = step(trainer, "joint")
    return _known_values[key]


def test_every_convolution_of_vgg19_may_be_named_for_the_content_loss():
    (field,) = (field for field in dataclasses.fields(Glcic) if field.name == "content_layer")
    assert field.metadata["choices"] == (PAPERS_LAYERS, *vgg19.CHANNELS)


@pytest.mark.parametrize(
    ("choice", "measure"),
    [
        ({"reconstruction": "missing"}, "mse"),
        ({"reconstruction": "each_hole"}, "mse"),
        ({"content_layer": "block3_conv4"}, "perceptual"),
        ({"judged": "output"}, "gan"),
        ({"perceptual_on": "output"}, "perceptual"),
        ({"gan": "minimax"}, "gan"),
        ({"gan": "hinge"}, "gan"),
        ({"gan": "least_squares"}, "gan"),
        ({"fill": "black"}, "mse"),
        ({"levelled": True}, "mse"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_setting_reaches_the_loss(choice, measure, monkeypatch):
    without, other = (joint_values(monkeypatch, **chosen) for chosen in ({}, choice))
    for name in {"mse", "perceptual", "gan"} - {measure}:
        if choice not in ({"fill": "black"}, {"levelled": True}):
            assert other[name] == without[name]
    assert abs(other[measure] - without[measure]) > 1e-3 * abs(without[measure])
    assert other["loss"] != without["loss"]


def test_the_reconstruction_has_a_weight():
    for weight in (1.0, 10.0):
        values = step(make_trainer(gamma=weight), "completion")
        assert values["loss"] == pytest.approx(weight * values["mse"])


def test_every_reading_that_may_be_chosen_is_there():
    choices = {field.name: field.metadata["choices"] for field in own(Glcic)}
    assert tuple(phases.RECONSTRUCTIONS) == choices["reconstruction"]
    assert ("mean", *phases.COLORS) == choices["fill"]


def test_samples_show_hole_output_completion_and_original(tmp_path):
    trainer = make_trainer()
    images = IMAGES.numpy()[:2]
    trainer.sampler(lambda count: images[:count], None)(tmp_path / "a.png")
    grid = image_files.read_image(tmp_path / "a.png")
    pad = 2
    assert grid.shape[0] in (2 * 16 + pad, 2 * 16 + 3 * pad)
    assert grid.shape[1] in (4 * 16 + 3 * pad, 4 * 16 + 5 * pad)
    margin = pad * (grid.shape[0] > 2 * 16 + pad)
    cells = [grid[margin : margin + 16, margin + n * (16 + pad) :][:, :16] for n in range(4)]
    hole, _, completed, original = (image_files.to_uint8(cell) for cell in cells)
    np.testing.assert_array_equal(original, images[0])
    missing = (hole == [255, 0, 255]).all(-1)
    assert 4 * 4 <= missing.sum() <= 8 * 8
    np.testing.assert_array_equal(completed[~missing], original[~missing])
    assert (completed[missing] != original[missing]).any()


def test_the_description_counts_parameters():
    trainer = make_trainer()
    text = describe(trainer.networks)
    for network in (trainer.completion, trainer.discriminator):
        assert f"{network.name}: {network.count_params():,} parameters" in text

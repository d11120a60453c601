"""The search minimizes what the papers say, as they say, and finds what is there to be found."""

import dataclasses
import functools
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from common import runtime
from common.errors import InputError
from common.evaluation import metrics
from common.pictures import masks
from common.training import folding
from wgan_inpaint import networks
from wgan_inpaint.search import latent_search, lbfgs, optimizers
from wgan_inpaint.search import settings as search_settings
from wgan_inpaint.search.latent_search import LatentSearch
from wgan_inpaint.search.settings import PAPER, Settings

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIDE = 16  # of the pictures: two layers of each kind
SMALL = networks.Architecture(size=SIDE, width=4, latent=6)


@functools.cache
def small_networks(objective):
    """Networks of lively random weights, folded."""
    generator = np.random.default_rng(0)

    def folded(network):
        for variable in network.weights:
            if variable.path.endswith("kernel"):
                scale = np.sqrt(4 / np.prod(variable.shape[:-1]))
                variable.assign(generator.normal(0, scale, variable.shape))
            else:
                noise = generator.normal(0, 0.15, variable.shape)
                variable.assign(variable + (abs(noise) if "variance" in variable.path else noise))
        return folding.FoldedNetwork(network)

    return latent_search.Networks(
        folded(networks.generator(SMALL)),
        folded(networks.critic(SMALL)),
        folded(networks.encoder(SMALL, width=4)),
        objective,
        SMALL,
    )


def scene(batch=3):
    """Random pictures and their holes: a centre square, scattered pixels, the left half."""
    images = tf.constant(np.random.default_rng(1).random((batch, SIDE, SIDE, 3), np.float32))
    kinds = ("center", "pixels", "left")
    specs = [masks.MaskSpec((kinds[n % 3],)) for n in range(batch)]
    holes = [masks.draw_one(spec, SIDE, SIDE, 0, n) for n, spec in enumerate(specs)]
    return images, tf.constant(np.stack(holes))


@functools.cache  # what is traced once serves every test
def make(objective="wgan", dtype=tf.float32, jit_compile=False, **settings):
    lowres = settings.pop("lowres", 0)
    options = {"iterations": 5, "candidates": 20, "init": "random", **settings}
    search = Settings(**options)
    return LatentSearch(small_networks(objective), search, dtype, jit_compile, lowres)


# ---- losses


def test_importance_weights_are_the_papers_formula():
    """[1] eq. 3: the missing share of the neighbours that exist, for known pixels."""
    holes = (np.random.default_rng(0).random((2, 9, 12, 1)) < 0.3).astype(np.float32)
    for window in (1, 3, 7):
        expected = np.zeros_like(holes)
        reach = window // 2
        for n, y, x in np.ndindex(holes.shape[:3]):
            around = holes[n, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            expected[n, y, x] = 0 if holes[n, y, x] else around.sum() / around.size
        weights = latent_search.importance_weights(holes, window)
        np.testing.assert_allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    # Differences in [-1, 1]: 1, -0.5, 0 at the first pixel, of weight 0.5; 0.2 at the second, of 1.
    [("weighted_l1", 0.5 * 1.5 + 0.6), ("l1", 0.5 * 1.5 + 0.6), ("l2", 0.5 * 1.25 + 0.12)],
)
def test_context_loss_of_numbers_picked_by_hand(kind, expected):
    pictures = np.float32([[[[1.0, 0.25, 0.5], [0.6, 0.6, 0.6], [1, 1, 1]]]])
    images = np.float32([[[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]]])
    weights = np.float32([[[[0.5], [1], [0]]]])
    loss = latent_search.context_loss(pictures, images, weights, kind)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


def test_context_weights_of_each_kind():
    images, holes = scene()
    _, weights = make(context="weighted_l1", window=5).observe(images, holes)
    np.testing.assert_array_equal(weights, latent_search.importance_weights(holes, 5))
    for kind in ("l1", "l2"):
        _, weights = make(context=kind).observe(images, holes)
        np.testing.assert_array_equal(weights, 1 - holes)


def test_prior_is_log_one_minus_d_or_minus_f():
    scores = np.float32([[-3], [0], [2], [200]])
    d = 1 / (1 + np.exp(-scores[:3, 0]))
    gan = latent_search.prior_loss(scores, "gan")
    np.testing.assert_allclose(gan[:3], np.log(1 - d), rtol=1e-5)
    assert gan[3] == -200, "no overflow"
    for objective in ("wgan", "wgan_gp"):
        np.testing.assert_array_equal(latent_search.prior_loss(scores, objective), -scores[:, 0])
        scaled = latent_search.prior_loss(scores, objective, 2.0, 4.0)
        np.testing.assert_allclose(scaled, -(scores[:, 0] - 2) / 4)
    np.testing.assert_array_equal(latent_search.prior_loss(scores, "gan", 2.0, 4.0), gan)


def test_the_prior_of_a_critic_does_not_depend_on_its_scale():
    """The f of the generator's own pictures have mean 0 and standard deviation 1."""
    parts = latent_search.measure(small_networks("wgan"))
    z = networks.random_latents(2000, SMALL.latent, [5, 5])
    images, holes = scene(1)
    one = [tf.repeat(x, 2000, axis=0) for x in (images, holes)]
    _, prior, _ = LatentSearch(parts, PAPER).losses(*one)(z)
    assert abs(np.mean(prior)) < 0.1 and abs(np.std(prior) - 1) < 0.1
    critic = types.SimpleNamespace(at=lambda dtype: lambda x: 50 * parts.critic.at(dtype)(x) + 700)
    other = latent_search.measure(dataclasses.replace(parts, critic=critic))
    assert other.score_std == pytest.approx(50 * parts.score_std, rel=1e-3)
    _, scaled, _ = LatentSearch(other, PAPER).losses(*one)(z)
    np.testing.assert_allclose(scaled, prior, atol=5e-3)
    gan = latent_search.measure(small_networks("gan"))
    assert (gan.score_mean, gan.score_std) == (0, 1)


@pytest.mark.parametrize("objective", ["gan", "wgan"])
@pytest.mark.parametrize("context", search_settings.CONTEXTS)
def test_the_gradient_is_the_loss_functions_by_finite_differences(context, objective):
    search = make(objective, tf.float64, context=context, prior_weight=0.1)
    images, holes = (tf.cast(x, tf.float64) for x in scene())
    evaluate = search.losses(images, holes)

    def total(z):
        context_part, prior, _ = evaluate(z)
        return context_part + 0.1 * prior

    z = tf.cast(networks.random_latents(3, SMALL.latent, [1, 1]), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = tf.reduce_sum(total(z))
    gradient = tape.gradient(loss, z)
    assert gradient.dtype == tf.float64
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=z.shape)
        step = 1e-6
        difference = (total(z + step * direction) - total(z - step * direction)) / (2 * step)
        slope = tf.reduce_sum(gradient * direction, axis=1)
        np.testing.assert_allclose(difference, slope, rtol=1e-5)


# ---- optimizers


def gradient_at(search, images, holes, z):
    """(total loss [N], its gradient [N, Z]) in numpy."""
    z = tf.constant(z, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        context, prior, _ = search.losses(images, holes)(z)
        total = context + search.settings.prior_weight * prior
    return total.numpy(), tape.gradient(total, z).numpy()


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("decay", search_settings.DECAYS)
def test_adam_is_the_textbooks(decay):
    images, holes = scene()
    search = make(learning_rate=0.1, beta_1=0.8, beta_2=0.99, decay=decay)
    start = search.start(images, holes)
    z, first, second = start.z.numpy(), 0, 0
    for t in range(1, 6):
        _, gradient = gradient_at(search, images, holes, z)
        first = 0.8 * first + 0.2 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        move = (first / (1 - 0.8**t)) / (np.sqrt(second / (1 - 0.99**t)) + 1e-8)
        rate = 0.1 if decay == "none" else 0.05 * (1 + np.cos(np.pi * (t - 1) / 5))
        z = np.clip(z - rate * move, -1, 1)
    state, _ = search.advance(images, holes, start, 5)
    np.testing.assert_allclose(state.z, z, atol=1e-4)
    assert np.abs(z - start.z).max() > 0.1


@pytest.mark.usefixtures("eagerly")
def test_nesterov_is_the_authors():
    images, holes = scene()
    search = make(optimizer="momentum", learning_rate=8e-4, momentum=0.9)
    start = search.start(images, holes)
    z, velocity = start.z.numpy(), 0
    for _ in range(5):
        _, gradient = gradient_at(search, images, holes, z)
        previous = np.copy(velocity)
        velocity = 0.9 * velocity - 8e-4 * gradient
        z = np.clip(z - 0.9 * previous + (1 + 0.9) * velocity, -1, 1)
    state, _ = search.advance(images, holes, start, 5)
    np.testing.assert_allclose(state.z, z, atol=1e-4)
    assert np.abs(z - start.z).max() > 0.01


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "adam", "learning_rate": 2.0},
        {"optimizer": "momentum", "learning_rate": 1.0},
        {"optimizer": "hmc", "hmc_step": 1.0, "hmc_leapfrogs": 1, "hmc_beta": 1e-9},
    ],
    ids=lambda options: options["optimizer"],
)
def test_z_is_clipped_to_the_cube(optimizer):
    images, holes = scene()
    moved = []
    for clip in (True, False):
        search = make(clip=clip, **optimizer)
        state, _ = search.advance(images, holes, search.start(images, holes), 1)
        moved.append(state.z.numpy())
    assert np.abs(moved[1]).max() > 1
    np.testing.assert_allclose(moved[0], np.clip(moved[1], -1, 1), atol=1e-5)


def quadratic(beta=8.0, **settings):
    """A search whose loss is ``||z - 0.2||^2`` in 8 dimensions."""

    def generate(z):
        pixels = tf.pad(z / 2, [[0, 0], [0, 3 * SIDE * SIDE - 8]])
        return tf.reshape(pixels, [-1, SIDE, SIDE, 3])

    parts = [
        types.SimpleNamespace(at=lambda dtype, function=function: function)
        for function in (generate, lambda x: tf.zeros([tf.shape(x)[0], 1]))
    ]
    architecture = networks.Architecture(size=SIDE, latent=8)
    search = LatentSearch(
        latent_search.Networks(*parts, None, "wgan", architecture),
        Settings(
            optimizer="hmc", context="l2", clip=False, hmc_beta=beta, init="random", **settings
        ),
    )
    image = generate(tf.fill([1, 8], 0.2))
    return search, image, tf.zeros([1, SIDE, SIDE, 1])


def test_hmc_draws_from_exp_of_minus_beta_times_the_loss():
    chains = 500
    search, image, hole = quadratic(hmc_step=0.15, hmc_leapfrogs=3, restarts=chains)
    state, _ = search.advance(image, hole, search.start(image, hole), 30)
    draws = state.z.numpy().ravel()
    variance = 1 / (2 * 8)
    assert abs(draws.mean() - 0.2) < 4 * np.sqrt(variance / draws.size)
    assert abs(draws.var() / variance - 1) < 4 * np.sqrt(2 / draws.size)


@pytest.mark.usefixtures("eagerly")
def test_hmc_conserves_energy_the_better_the_shorter_its_steps():
    errors = []
    for step, leapfrogs in ((0.2, 4), (0.05, 16), (0.0125, 64)):
        search, image, hole = quadratic(hmc_step=step, hmc_leapfrogs=leapfrogs, restarts=50)
        start = search.start(image, hole)
        state, history = search.advance(image, hole, start, 1)
        velocity = search._draw(image, hole, 0, optimizers.VELOCITY, networks.normal, [8]).numpy()
        # The exact motion: a rotation in (z - 0.2, v / omega), omega^2 = 2 beta.
        omega = 4.0
        angle = omega * step * leapfrogs
        exact = np.cos(angle) * (start.z - 0.2) + np.sin(angle) * velocity / omega + 0.2
        moved = (state.z != start.z).numpy().all(axis=1)
        errors.append(np.abs(state.z - exact)[moved].max())
        np.testing.assert_allclose(
            history[0, 0], tf.reduce_sum((start.z - 0.2) ** 2, axis=1), rtol=1e-4
        )
    assert moved.all(), "nothing is refused at short steps"
    assert errors[0] > 8 * errors[1] > 64 * errors[2]


@pytest.mark.usefixtures("eagerly")
def test_hmc_accepts_by_the_authors_rule():
    images, holes = scene()
    search = make(
        optimizer="hmc", hmc_step=0.3, hmc_leapfrogs=3, hmc_beta=1.2, hmc_anneal=0.5, restarts=8
    )
    start = search.start(images, holes)
    z, choices = start.z.numpy(), []
    for n in range(3):
        beta = 1.2 * 0.5**n
        size = [SMALL.latent]
        velocity = search._draw(
            images, holes, n, optimizers.VELOCITY, networks.normal, size
        ).numpy()
        chance = search._draw(images, holes, n, optimizers.ACCEPT, networks.uniform, []).numpy()
        old_velocity = velocity
        loss, gradient = gradient_at(search, images, holes, z)
        new_z, new_loss = z, loss
        for _ in range(3):
            velocity = velocity - 0.3 / 2 * beta * gradient
            new_z = np.clip(new_z + 0.3 * velocity, -1, 1)
            new_loss, gradient = gradient_at(search, images, holes, new_z)
            velocity = velocity - 0.3 / 2 * beta * gradient
        before = beta * loss + np.sum(old_velocity**2, axis=1) / 2
        after = beta * new_loss + np.sum(velocity**2, axis=1) / 2
        accepted = chance < np.exp(np.minimum(before - after, 0))
        choices.append(accepted)
        z = np.where(accepted[:, None], new_z, z)
    state, _ = search.advance(images, holes, start, 3)
    np.testing.assert_allclose(state.z, z, atol=1e-4)
    assert 0.05 < np.mean(choices) < 0.95, "both happened"


# ---- one graph


@pytest.mark.parametrize("draw", [networks.uniform, networks.normal])
def test_random_numbers_are_the_same_with_xla_also_for_seeds_known_at_run_time_only(draw):
    compiled = tf.function(draw, jit_compile=True, autograph=False)
    for shape in ([7], [5, 3], [64, 100]):
        for seed in ([0, 1], [3, 1_000_003]):
            plain = draw(shape, tf.constant(seed))
            np.testing.assert_allclose(compiled(shape, tf.constant(seed)), plain, atol=1e-5)
    values = plain.numpy().ravel()
    mean, variance = (0.5, 1 / 12) if draw is networks.uniform else (0, 1)
    assert abs(values.mean() - mean) < 4 * np.sqrt(variance / values.size)
    assert abs(values.var() / variance - 1) < 0.1
    if draw is networks.uniform:
        assert values.min() >= 0 and values.max() < 1
        own = tf.random.stateless_uniform(shape, seed, alg="philox")
        np.testing.assert_array_equal(plain, own)


WAYS = {
    "lbfgs": {"init": "encoder", "restarts": 2, "optimizer": "lbfgs"},
    "adam": {"init": "random", "restarts": 2},
    "momentum": {"init": "random", "restarts": 2, "optimizer": "momentum", "learning_rate": 8e-4},
    "hmc": {"init": "random", "restarts": 2, "optimizer": "hmc", "hmc_leapfrogs": 2},
    "lowres": {"init": "ranked", "lowres": 2, "context": "l2", "learning_rate": 0.03},
}


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@functools.cache
def searching(way, jit_compile=False):
    """A search of four iterations; one for all tests, so that its graphs are traced once."""
    return make(iterations=4, jit_compile=jit_compile, **WAYS[way])


def close(first, second, atol=2e-4):
    for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_in_parts_compiled_and_in_one_piece_the_same(way):
    images, holes = scene()
    search = searching(way)
    whole = search.run(images, holes)
    other = searching(way, jit_compile=True)
    # Of those with Adam's random start, Adam's is compiled.
    ends = search if way in ("momentum", "hmc") else other
    state = ends.start(images, holes)
    state, early = other.advance(images, holes, state, 2)
    state, late = other.advance(images, holes, state, 2)
    assert int(state.iteration) == 4
    assert early.shape == late.shape == (2, 2, len(state.z))
    close(ends.finish(images, holes, state), whole)


def test_a_graph_computes_what_is_computed_step_by_step(way, eagerly):
    images, holes = scene()
    search = searching(way)
    stepwise = search.run(images, holes)
    tf.config.run_functions_eagerly(False)
    close(search.run(images, holes), stepwise)


def test_an_image_is_completed_alone_as_in_any_company(way):
    images, holes = scene()
    search = searching(way)
    together = search.run(images, holes)
    for n in range(3):
        alone = search.run(images[n : n + 1], holes[n : n + 1])
        close(alone, [part[n : n + 1] for part in together])


def test_hidden_pixels_do_not_matter_to_the_bit(way):
    if way == "lowres":
        pytest.skip("super-resolution hides no pixel")
    images, holes = scene()
    search = searching(way)
    expected = search.run(images, holes)
    for hidden in (0.3, np.nan, np.inf):
        result = search.run(tf.where(holes > 0, hidden, images), holes)
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("eagerly")
def test_the_restart_with_the_least_final_loss_is_kept():
    images, holes = scene()
    search = make(restarts=4, prior_weight=0.5)
    state, _ = search.advance(images, holes, search.start(images, holes), 5)
    context, prior, pictures = search.losses(images, holes)(state.z)
    total = (context + 0.5 * prior).numpy().reshape(3, 4)
    result = search.finish(images, holes, state)
    np.testing.assert_array_equal(result.restart, total.argmin(axis=1))
    np.testing.assert_allclose(result.context + 0.5 * result.prior, total.min(axis=1), rtol=1e-5)
    rows = np.arange(3) * 4 + total.argmin(axis=1)
    np.testing.assert_array_equal(result.z, state.z.numpy()[rows])
    np.testing.assert_allclose(result.pictures, pictures.numpy()[rows], atol=1e-6)


def test_the_best_restarts_of_numbers_picked_by_hand():
    """Two images, two samples of three restarts; what is not finite is the worst."""
    nan, inf = np.nan, np.inf
    context = np.float32([9, 5, 7, 3, nan, 4, nan, 2, -inf, inf, nan, nan])
    prior = np.float32([0, 0, -8, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    for jit_compile in (False, True):
        search = make(restarts=6, prior_weight=0.5, jit_compile=jit_compile)
        best = tf.function(search.best, jit_compile=jit_compile, autograph=False)
        rows, totals = best(np.stack([context, prior]), 2, 2)
        np.testing.assert_array_equal(rows, [[2, 3], [7, 9]])
        np.testing.assert_array_equal(totals, [[3, 3.5], [2, inf]])
        rows, totals = best(np.stack([context, prior]), 2, 1)
        np.testing.assert_array_equal(rows, [[2], [7]])
        np.testing.assert_array_equal(totals, [[3], [2]])


@pytest.mark.usefixtures("eagerly")
def test_losses_are_those_at_the_z_that_is_shown(way):
    """In the history, which is of before each iteration, in the state and in the result."""
    images, holes = scene()
    search = searching(way)
    state, refused = search.start(images, holes), []
    for _ in range(6):
        before = state
        state, history = search.advance(images, holes, state, 1)
        for shown, losses in ((before.z, history[0]), (state.z, state.losses)):
            context, prior, _ = search.losses(images, holes)(shown)
            np.testing.assert_allclose(losses, [context, prior], rtol=1e-4, atol=1e-4)
        refused.append((state.z == before.z).numpy().all(axis=1))
    assert not np.all(refused)
    result = search.finish(images, holes, state)
    rows = np.arange(3) * search.settings.restarts + result.restart.numpy()
    final = np.stack([result.context, result.prior])
    np.testing.assert_array_equal(final, state.losses.numpy()[:, rows])


@pytest.mark.usefixtures("eagerly")
def test_lbfgs_shows_the_accepted_z_and_not_a_worse_trial():
    """Long steps in a large box: many trials are refused, and none of them is where it stands."""
    images, holes = scene()
    search = make(optimizer="lbfgs", restarts=4, clip=False)
    state = search.start(images, holes)
    losses, refused = [search._optimizer.total(state.point)], 0
    for _ in range(25):
        before = state
        state, _ = search.advance(images, holes, state, 1)
        refused += int(tf.reduce_sum(tf.cast(tf.reduce_all(state.z == before.z, 1), tf.int32)))
        losses.append(search._optimizer.total(state.point))
    assert refused > 5, "or nothing was shown"
    least = np.minimum.accumulate(losses)
    assert (losses <= least + lbfgs.TOLERANCE * np.abs(least) + 1e-4).all()


def test_every_optimizer_has_its_class():
    assert tuple(optimizers.TABLE) == search_settings.OPTIMIZERS


# ---- starts


@pytest.mark.usefixtures("eagerly")
def test_random_starts_differ_between_images_restarts_and_seeds():
    images, holes = scene()
    z = make(restarts=5).start(images, holes).z.numpy()
    assert len(np.unique(z[:, 0])) == 15
    assert np.abs(z).max() <= 1
    assert (make(restarts=5, seed=1).start(images, holes).z.numpy() != z).all(axis=1).all()


@pytest.mark.usefixtures("eagerly")
def test_random_numbers_are_the_pictures_own():
    images, holes = scene()
    search = make(optimizer="hmc", hmc_leapfrogs=2, restarts=2)
    drawn = search._draw(images, holes, 3, optimizers.ACCEPT, networks.uniform, []).numpy()
    assert len(np.unique(drawn)) == 6
    hidden = tf.where(holes > 0, 0.7, images)
    for n in range(3):
        alone = search._draw(
            hidden[n : n + 1], holes[n : n + 1], 3, optimizers.ACCEPT, networks.uniform, []
        )
        np.testing.assert_array_equal(alone, drawn[2 * n : 2 * n + 2])


@pytest.mark.usefixtures("eagerly")
def test_ranked_starts_are_the_best_candidates_by_context_loss():
    images, holes = scene()
    search = make(init="ranked", restarts=3, candidates=300)  # more than one part
    z = search.start(images, holes).z.numpy().reshape(3, 3, -1)
    candidates = networks.random_latents(300, SMALL.latent, [0, 0])
    for n in range(3):
        one = [tf.repeat(x[n : n + 1], 300, axis=0) for x in (images, holes)]
        context, _, _ = make().losses(*one)(candidates)
        best = np.argsort(context)[:3]
        np.testing.assert_array_equal(z[n], candidates.numpy()[best])


@pytest.mark.usefixtures("eagerly")
def test_the_encoder_makes_the_first_start_and_ranking_the_others():
    images, holes = scene()
    ranked = make(init="ranked", restarts=2).start(images, holes).z.numpy().reshape(3, 2, -1)
    guess = small_networks("wgan").encoder.at(tf.float32)({"images": images, "masks": holes})
    for restarts in (1, 2):
        search = make(init="encoder", restarts=restarts)
        z = search.start(images, holes).z.numpy().reshape(3, restarts, -1)
        np.testing.assert_allclose(z[:, 0], guess, atol=1e-5)
        np.testing.assert_array_equal(z[:, 1:], ranked[:, 1:restarts])


@pytest.mark.usefixtures("eagerly")
def test_lowres_compares_averages_of_blocks_and_nothing_else():
    images, holes = scene()
    search = make(lowres=4, context="l1", prior_weight=0)
    low, weights = search.observe(images, holes)
    means = images.numpy().reshape(3, 4, 4, 4, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(low, means, atol=1e-6)
    np.testing.assert_array_equal(weights, np.ones((3, 4, 4, 1)))
    z = networks.random_latents(3, SMALL.latent, [3, 3])
    context, _, pictures = search.losses(images, holes)(z)
    other = pictures.numpy().reshape(3, 4, 4, 4, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(context, 2 * np.abs(other - means).sum(axis=(1, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "sgd"}, "--optimizer=sgd: choose one of adam, momentum, hmc"),
        ({"context": "l3"}, "--context=l3"),
        ({"init": "zeros"}, "--init=zeros"),
        ({"window": 4}, "--window=4: give an odd"),
        ({"window": -1}, "--window=-1: give an odd"),
        ({"restarts": 0}, "--restarts=0"),
        ({"init": "ranked", "restarts": 9, "candidates": 8}, "at most --candidates"),
        ({"lowres": 7}, "--lowres=7: must divide the generator's 16 pixels"),
        ({"lowres": 8, "init": "encoder"}, "no encoder of low resolutions"),
    ],
)
def test_settings_that_cannot_be_followed(settings, words):
    with pytest.raises(InputError, match=words):
        make(**settings)


def test_no_encoder_no_encoded_start():
    parts = small_networks("wgan")
    without = latent_search.Networks(parts.generator, parts.critic, None, "wgan", SMALL)
    with pytest.raises(InputError, match="the model has no encoder"):
        LatentSearch(without, Settings(init="encoder"))


# ---- known answers


def psnrs_in_the_hole(search, z, holes):
    truth = search.pictures(z)
    result = search.run(tf.where(holes > 0, 0.0, truth), holes)
    return [
        metrics.psnr(*three)
        for three in zip(truth.numpy(), result.pictures.numpy(), holes.numpy(), strict=True)
    ]


def test_what_the_generator_made_is_found_again():
    holes = tf.constant(masks.draw(masks.MaskSpec(), 10, SIDE, SIDE, [0, 0]))
    search = make(init="ranked", restarts=4, candidates=256, iterations=150, learning_rate=0.03)
    z = networks.random_latents(10, SMALL.latent, [7, 7])
    spread = np.std(search.pictures(z), axis=0).mean()
    assert spread > 0.05, "pictures that are all alike prove nothing"
    scores = psnrs_in_the_hole(search, z, holes)
    assert sum(score > 30 for score in scores) >= 9, scores


@pytest.mark.skipif(
    not (ROOT / "wgan_inpaint" / "shipped").is_dir(),
    reason="wgan_inpaint/shipped holds no trained model",
)
def test_what_the_shipped_generator_made_is_found_again():
    from wgan_inpaint import loading

    loaded = loading.load_networks("shipped:wgan_inpaint")
    native = runtime.choose_precision() == "mixed_bfloat16"
    # All known pixels count, as the picture is known to have a z. Rounded, they lead there slower.
    settings = Settings(
        init="encoder",
        optimizer="lbfgs",
        iterations=120 if native else 80,
        context="l1",
        prior_weight=0,
    )
    search = LatentSearch(loaded, settings, tf.bfloat16 if native else tf.float32)
    holes = tf.constant(masks.draw(masks.MaskSpec(), 3, loaded.size, loaded.size, [0, 0]))
    z = networks.random_latents(3, loaded.latent, [7, 7])
    scores = psnrs_in_the_hole(search, z, holes)
    assert min(scores) > 30, scores

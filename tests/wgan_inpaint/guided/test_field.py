"""The mean field against enumeration of all fields of a small grid, and Gibbs sampling too."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from wgan_inpaint.guided import field

BATCH = 20


def make(height, width, count, strength, additive=False, seed=0):
    """Random fields: (unary, known, labels, pairwise), float64; half of them know a point."""
    generator = np.random.default_rng(seed)

    def table():
        if additive:
            return generator.normal(size=(count, 1)) + generator.normal(size=(1, count))
        return generator.normal(size=(count, count))

    unary = generator.normal(size=(BATCH, height, width, count))
    known = np.zeros((BATCH, height, width, 1), bool)
    known[BATCH // 2 :, 0, 0] = True
    labels = generator.integers(0, count, (BATCH, height, width))
    pairwise = field.Pairwise(
        tf.constant(strength * table()),
        tf.constant(strength * table()),
        tf.constant(generator.uniform(0.5, 1.5, (BATCH, height, width - 1, 1))),
        tf.constant(generator.uniform(0.5, 1.5, (BATCH, height - 1, width, 1))),
    )
    return tf.constant(unary), tf.constant(known), tf.constant(labels, tf.int32), pairwise


def enumerate_all(unary, known, labels, pairwise):
    """Exact marginals [B, H, W, K] and log Z [B]."""
    _, height, width, count = unary.shape
    right, down, across, along = (np.asarray(v) for v in pairwise)
    fields = np.array(list(itertools.product(range(count), repeat=height * width)))
    fields = fields.reshape(-1, height, width)
    marginals, logs = [], []
    for n in range(len(unary)):
        score = np.zeros(len(fields))
        for y, x in itertools.product(range(height), range(width)):
            if known[n, y, x, 0]:
                score[fields[:, y, x] != labels[n, y, x]] = -np.inf
            else:
                score += unary[n, y, x].numpy()[fields[:, y, x]]
            if x + 1 < width:
                score -= across[n, y, x, 0] * right[fields[:, y, x], fields[:, y, x + 1]]
            if y + 1 < height:
                score -= along[n, y, x, 0] * down[fields[:, y, x], fields[:, y + 1, x]]
        logs.append(np.logaddexp.reduce(score))
        shares = np.exp(score - logs[-1])
        marginals.append(np.einsum("f,fhwk->hwk", shares, np.eye(count)[fields]))
    return np.array(marginals), np.array(logs)


@pytest.mark.parametrize(("height", "width", "count"), [(2, 2, 2), (2, 3, 3)])
def test_it_is_exact_where_a_mean_field_can_be(height, width, count):
    """Without coupling, with tables that are sums of a row's and a column's terms, and with a
    single unknown point."""
    for strength, additive in ((0.0, False), (1.0, True)):
        scene = make(height, width, count, strength, additive)
        exact, log_z = enumerate_all(*scene)
        q = field.mean_field(*scene, iterations=2)
        np.testing.assert_allclose(q, exact, atol=1e-12)
        energy = field.free_energy(q, scene[0], scene[1], scene[3])
        if not additive:
            np.testing.assert_allclose(energy[: BATCH // 2], -log_z[: BATCH // 2], atol=1e-12)
    unary, _, labels, pairwise = make(height, width, count, 3.0)
    known = np.ones((BATCH, height, width, 1), bool)
    known[:, 1, 1] = False
    exact, _ = enumerate_all(unary, known, labels, pairwise)
    q = field.mean_field(unary, tf.constant(known), labels, pairwise, iterations=1)
    np.testing.assert_allclose(q, exact, atol=1e-12)


@pytest.mark.parametrize("strength", [0.3, 1.0, 3.0])
def test_the_free_energy_never_rises_and_bounds_log_z(strength):
    for height, width, count in ((2, 2, 3), (2, 3, 2)):
        unary, known, labels, pairwise = make(height, width, count, strength)
        exact, log_z = enumerate_all(unary, known, labels, pairwise)
        colour, q, energies = field.chessboard(unary), field.begin(unary, known, labels), []
        for n in range(40):
            energies.append(field.free_energy(q, unary, known, pairwise).numpy())
            q = field.update(q, unary, known, pairwise, ~colour if n % 2 else colour)
        assert np.diff(energies, axis=0).max() < 1e-12
        gap = energies[-1] + log_z
        assert gap.min() > -1e-12
        worst = np.abs(q - exact).max((1, 2, 3)).mean()
        print(f"{height}x{width} K={count} strength {strength}: KL {gap.mean():.3f}, "
              f"largest error of a marginal {worst:.3f}")  # fmt: skip
        assert worst < {0.3: 0.05, 1.0: 0.3, 3.0: 0.6}[strength]


def test_updating_every_point_at_once_may_raise_it():
    """The reason for two colours: a parallel update is no descent."""
    unary, known, labels, pairwise = make(2, 3, 3, 3.0)
    q = field.begin(unary, known, labels)
    everywhere, rises = tf.ones_like(field.chessboard(unary)), 0
    for _ in range(40):
        before = field.free_energy(q, unary, known, pairwise)
        q = field.update(q, unary, known, pairwise, everywhere)
        rises += int(tf.reduce_sum(tf.cast(
            field.free_energy(q, unary, known, pairwise) > before + 1e-6, tf.int32)))  # fmt: skip
    assert rises > 0


def test_gibbs_draws_from_the_exact_marginals():
    unary, known, labels, pairwise = make(2, 3, 3, 0.7, seed=3)
    exact, _ = enumerate_all(unary, known, labels, pairwise)
    draws = 1500

    @tf.function(jit_compile=True)
    def drawn(seed):
        first = field.draw(unary, tf.stack([seed, -1]))
        first = tf.where(known[..., 0], labels, first)
        found = field.gibbs(unary, known, first, pairwise, 8, seed)
        return tf.one_hot(found, 3, dtype=tf.float64)

    found = sum(drawn(tf.constant(seed)).numpy() for seed in range(draws)) / draws
    assert np.abs(found - exact).max() < 0.05
    assert np.abs(found - exact).mean() < 0.012
    held = found[BATCH // 2 :, 0, 0].argmax(-1)
    np.testing.assert_array_equal(held, labels[BATCH // 2 :, 0, 0])
    assert (found[BATCH // 2 :, 0, 0].max(-1) == 1).all()


def test_a_field_is_drawn_alone_as_in_a_batch():
    unary, known, labels, pairwise = make(4, 5, 6, 1.0)
    seed = tf.constant(7)
    together = field.gibbs(unary, known, labels, pairwise, 3, seed)
    one = slice(3, 4)
    alone = field.gibbs(
        unary[one],
        known[one],
        labels[one],
        pairwise._replace(
            right_weights=pairwise.right_weights[one], down_weights=pairwise.down_weights[one]
        ),
        3,
        seed,
    )
    np.testing.assert_array_equal(alone[0], together[3])
    other = field.gibbs(unary, known, labels, pairwise, 3, tf.constant(8))
    assert (other != together).numpy().any()

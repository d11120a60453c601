"""Limited-memory BFGS takes the textbook's steps and ends where it must."""

import functools

import numpy as np
import tensorflow as tf

from wgan_inpaint.search import lbfgs

SIZE = 8


def quadratics(count, seed=0):
    """Convex quadratics ``(z - c) A (z - c) / 2`` with condition numbers of 100."""
    generator = np.random.default_rng(seed)
    scales = np.logspace(0, 2, SIZE)
    turns = np.linalg.qr(generator.normal(size=(count, SIZE, SIZE)))[0]
    matrices = np.einsum("nij,j,nkj->nik", turns, scales, turns).astype(np.float32)
    return matrices, generator.uniform(-0.9, 0.9, (count, SIZE)).astype(np.float32)


def descend(z, evaluate, iterations, box=None):
    @functools.partial(tf.function, autograph=False)
    def step(z, loss, slope, memory):
        new = lbfgs.trial(z, slope, memory, box)
        new_loss, new_slope = evaluate(new)
        memory, accepted = lbfgs.judge(memory, new - z, new_slope - slope, loss, new_loss)
        taken = accepted[:, None]
        z, slope = tf.where(taken, new, z), tf.where(taken, new_slope, slope)
        return z, tf.where(accepted, new_loss, loss), slope, memory

    z = tf.constant(z)
    at = z, *evaluate(z), lbfgs.begin(z)
    for _ in range(iterations):
        at = step(*at)
    return at[0].numpy()


def quadratic_loss(matrices, centers):
    def evaluate(z):
        slope = tf.linalg.matvec(matrices, z - centers)
        return tf.reduce_sum((z - centers) * slope, axis=1) / 2, slope

    return evaluate


def test_the_direction_is_that_of_the_textbooks_inverse_matrix():
    """[1]: H <- (1 - s y' / y's) H (1 - y s' / y's) + s s' / y's for every pair, oldest first."""
    matrices, _ = quadratics(1)
    generator = np.random.default_rng(1)
    s = generator.normal(size=(5, SIZE))
    y = s @ matrices[0]
    slope = generator.normal(size=SIZE) / 1000
    expected = np.eye(SIZE) * (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for move, change in zip(s, y, strict=True):
        left = np.eye(SIZE) - np.outer(move, change) / (move @ change)
        expected = left @ expected @ left.T + np.outer(move, move) / (move @ change)
    nothing = np.zeros((3, SIZE))  # pairs that are not there yet
    pairs = (np.concatenate([nothing, x])[None].astype(np.float32) for x in (s, y))
    z = np.zeros((1, SIZE), np.float32)
    step = lbfgs.direction(z, slope[None].astype(np.float32), *pairs)
    np.testing.assert_allclose(step[0], -expected @ slope, rtol=1e-3, atol=1e-8)


def test_without_curvature_the_step_is_short_and_down():
    slope = np.float32([[3, 4] + [0] * (SIZE - 2)])
    pairs = np.zeros((1, lbfgs.PAIRS, SIZE), np.float32)
    step = lbfgs.direction(np.zeros_like(slope), slope, pairs, pairs)
    np.testing.assert_allclose(step, -lbfgs.FIRST_STEP * slope / 5, rtol=1e-5)


def test_every_problem_of_a_batch_finds_its_minimum():
    matrices, centers = quadratics(20)
    start = np.random.default_rng(2).uniform(-1, 1, centers.shape).astype(np.float32)
    z = descend(start, quadratic_loss(matrices, centers), 60)
    np.testing.assert_allclose(z, centers, atol=1e-3)


def test_in_a_box_it_ends_where_the_walls_let_it():
    """Against projected gradient descent, which cannot go wrong, in fifty times as many steps."""
    matrices, centers = quadratics(20)
    evaluate = quadratic_loss(matrices, 2 * centers)
    reference = np.zeros_like(centers)
    for _ in range(5000):
        slope = np.einsum("nij,nj->ni", matrices, reference - 2 * centers)
        reference = np.clip(reference - slope / 100, -0.5, 0.5)
    assert 0.2 < (np.abs(reference) == 0.5).mean() < 0.9
    z = descend(np.zeros_like(centers), evaluate, 100, box=0.5)
    assert np.abs(z).max() <= 0.5
    worse = evaluate(z)[0].numpy() / evaluate(reference)[0].numpy()
    assert worse.max() < 1 + lbfgs.TOLERANCE


def test_losses_of_few_digits_do_not_stop_it():
    """Loss and gradient as bfloat16 gives them, above a floor that the noise is a share of."""
    matrices, centers = quadratics(20)
    exact = quadratic_loss(matrices, centers)

    def evaluate(z):
        loss, slope = exact(z)
        return (tf.cast(tf.cast(x, tf.bfloat16), tf.float32) for x in (loss + 5, slope))

    start = np.random.default_rng(2).uniform(-1, 1, centers.shape).astype(np.float32)
    z = descend(start, evaluate, 60)
    assert exact(start)[0].numpy().mean() > 20
    assert exact(z)[0].numpy().max() < 0.1


def test_a_nan_is_refused_and_the_search_goes_on():
    matrices, centers = quadratics(20)
    exact, seen = quadratic_loss(matrices, centers), tf.Variable(False)
    limit = np.abs(centers).max(axis=1, keepdims=True) + 0.02

    def evaluate(z):
        loss, slope = exact(z)
        broken = tf.reduce_max(tf.abs(z) - limit, axis=1) > 0
        seen.assign(seen | tf.reduce_any(broken))
        nan = tf.constant(np.nan)
        return tf.where(broken, nan, loss), tf.where(broken[:, None], nan, slope)

    z = descend(np.zeros_like(centers), evaluate, 100)
    assert seen, "or nothing was shown"
    assert (np.abs(z) <= limit).all()
    final = exact(z)[0].numpy()
    assert (final < exact(np.zeros_like(centers))[0].numpy()).all()
    assert (final < 0.01).mean() > 0.75, "one or the other may be caught behind the wall"

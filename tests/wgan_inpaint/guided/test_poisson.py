"""The screened Poisson equation, against SciPy's sparse solver, and its gradient."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import tensorflow as tf

from wgan_inpaint.guided import poisson

SIDE = 32


@pytest.fixture(scope="module")
def scene():
    """Pictures with holes: none, the middle, a border's half, half of all pixels, everything."""
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(5, SIDE, SIDE, 3))
    masks = np.zeros((5, SIDE, SIDE, 1))
    masks[1, 8:24, 8:24], masks[2, :, 10:], masks[4] = 1, 1, 1
    masks[3] = generator.uniform(size=(SIDE, SIDE, 1)) < 0.5
    decoded = images + 0.1 * generator.normal(size=images.shape)
    wanted = [
        g.numpy() + 0.02 * generator.normal(size=images.shape)
        for g in poisson.differences(tf.constant(images))
    ]
    return images, masks, wanted, decoded


def reference(image, mask, gradients, decoded, mu):
    """One picture's least squares problem, as sparse matrices in float64."""
    index = np.arange(mask.size).reshape(mask.shape[:2])
    first = np.r_[index[:, :-1].ravel(), index[:-1].ravel()]
    last = np.r_[index[:, 1:].ravel(), index[1:].ravel()]
    g = np.concatenate(
        [v.reshape(-1, v.shape[-1]) for v in (gradients[0][:, :-1], gradients[1][:-1])]
    )
    rows = np.tile(np.arange(len(g)), 2)
    values = np.repeat([-1.0, 1.0], len(g))
    d = scipy.sparse.csr_matrix((values, (rows, np.r_[first, last])), (len(g), mask.size))
    hole = mask.ravel() > 0.5
    x = np.where(hole[:, None], 0.0, image.reshape(mask.size, -1))
    touched = (d[:, hole].getnnz(axis=1) > 0)[:, None]
    a = (d[:, hole].T @ d[:, hole] + mu * scipy.sparse.eye(hole.sum())).tocsc()
    b = d[:, hole].T @ (touched * (g - d @ x)) + mu * decoded.reshape(x.shape)[hole]
    x[hole] = scipy.sparse.linalg.spsolve(a, b)
    return x.reshape(image.shape)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mu", [0.0, 0.1, 1000.0])
def test_it_solves_as_scipy_does(scene, mu, compiled):
    images, masks, wanted, decoded = scene
    hidden = np.where(masks > 0.5, np.nan, images)

    @tf.function(jit_compile=compiled, autograph=False)
    def run(images, masks, right, down, decoded):
        return poisson.solve(images, masks, (right, down), decoded, mu)

    single = [tf.constant(v, tf.float32) for v in (hidden, masks, *wanted, decoded)]
    completed, iterations = run(*single)
    assert 0 < int(iterations) < poisson.ITERATIONS
    np.testing.assert_array_equal(completed[0], images[0].astype(np.float32))
    for n in range(1, 5 if mu else 4):
        exact = reference(images[n], masks[n], [g[n] for g in wanted], decoded[n], mu)
        np.testing.assert_allclose(completed[n], exact, atol=1e-5)
    for n in (1, 3):
        alone, _ = run(*(v[n : n + 1] for v in single))
        np.testing.assert_array_equal(alone[0], completed[n])


def test_an_unknown_picture_without_a_guess_of_its_level_stays_finite(scene):
    images, masks, wanted, decoded = (np.asarray(v, np.float32) for v in scene)
    completed, _ = poisson.solve(images[4:], masks[4:], wanted[:, 4:], decoded[4:], 0.0)
    assert np.isfinite(completed).all()
    np.testing.assert_allclose(np.mean(completed, axis=(1, 2)), decoded[4:].mean((1, 2)), atol=1e-4)


def test_its_gradients_are_those_of_finite_differences(scene):
    part = slice(1, 4)
    images, masks, decoded = (v[part, 4:14, 4:14] for v in (scene[0], scene[1], scene[3]))
    wanted = [g[part, 4:14, 4:14] for g in scene[2]]
    arguments = [tf.constant(v) for v in (images, masks, *wanted, decoded)]
    generator = np.random.default_rng(1)

    @tf.function(jit_compile=True, autograph=False)
    def loss(images, masks, right, down, decoded):
        found, _ = poisson.solve(images, masks, (right, down), decoded, 0.1, 1e-12)
        return tf.reduce_sum(found**3)

    for k in (0, 2, 3, 4):
        with tf.GradientTape() as tape:
            tape.watch(arguments[k])
            value = loss(*arguments)
        step = 1e-5 * generator.normal(size=arguments[k].shape)
        ends = [
            float(loss(*(v + sign * step * (n == k) for n, v in enumerate(arguments))))
            for sign in (1, -1)
        ]
        exact = float(tf.reduce_sum(tape.gradient(value, arguments[k]) * step))
        assert abs((ends[0] - ends[1]) / 2 - exact) < 1e-6 * abs(exact)


def test_the_edges_of_a_hole_are_those_that_touch_it():
    masks = np.zeros((1, 4, 5, 1))
    masks[0, 1, 2] = 1
    right, down = (edge[0, ..., 0].numpy() for edge in poisson.edges(tf.constant(masks)))
    assert np.argwhere(right).tolist() == [[1, 1], [1, 2]]
    assert np.argwhere(down).tolist() == [[0, 2], [1, 2]]
    masks[:] = 1
    right, down = (edge[0, ..., 0].numpy() for edge in poisson.edges(tf.constant(masks)))
    assert right[:, -1].max() == 0 and down[-1].max() == 0 and right[:, :-1].min() == 1

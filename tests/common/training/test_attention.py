"""Contextual attention is its definition, place by place; it looks at what is known alone."""

import numpy as np
import pytest
import tensorflow as tf

from common.training import attention


def scene(height=12, width=10, channels=3, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(batch, height, width, channels)).astype(np.float32)
    missing = np.zeros((batch, height, width, 1), np.float32)
    missing[0, 4:7, 3:6] = 1
    missing[1, :2, 7:] = missing[1, -1, 1] = 1
    return features, missing


def by_hand(features, missing, propagate, values):
    """A double loop over places and keys of one picture, in float64."""
    height, width, channels = features.shape
    x = features.astype(np.float64)
    rows, columns = -(-height // 2), -(-width // 2)
    half, hidden = np.zeros((rows + 2, columns + 2, channels)), np.zeros((rows + 2, columns + 2))
    half[1:-1, 1:-1] = x[::2, ::2]
    for r in range(rows):
        for c in range(columns):
            hidden[r + 1, c + 1] = missing[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].max()
    places = [(r, c) for r in range(rows) for c in range(columns)]
    patch = {(r, c): half[r : r + 3, c : c + 3].ravel() for r, c in places}
    valid = [(r, c) for r, c in places if not hidden[r : r + 3, c : c + 3].any()]
    if not valid:
        return values
    key = {p: v / max(np.linalg.norm(v), 1e-4) for p, v in patch.items()}

    score = {(q, k): patch[q] @ key[k] for q in places for k in places}
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    for n in range(propagate):
        score = {
            (q, k): sum(
                score.get(((q[0] + i, q[1] + j), (k[0] + i, k[1] + j)), 0) for i, j in around
            )
            / (9 if n else 1)
            for q, k in score
        }

    channels = values.shape[-1]
    wide = np.zeros((2 * rows + 2, 2 * columns + 2, channels))
    wide[1 : height + 1, 1 : width + 1] = values
    found, count = np.zeros_like(wide), np.zeros(wide.shape[:2] + (1,))
    for q in places:
        scores = np.array([10 * score[q, k] for k in valid])
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        seen = sum(
            w * wide[2 * r : 2 * r + 4, 2 * c : 2 * c + 4]
            for w, (r, c) in zip(weights, valid, strict=True)
        )
        found[2 * q[0] : 2 * q[0] + 4, 2 * q[1] : 2 * q[1] + 4] += seen
        count[2 * q[0] : 2 * q[0] + 4, 2 * q[1] : 2 * q[1] + 4] += 1
    return (found / count)[1 : height + 1, 1 : width + 1]


@pytest.mark.parametrize("propagate", [0, 1, 3])
@pytest.mark.parametrize(("size", "chunk"), [((12, 10), 4), ((11, 13), 1), ((9, 8), 64)])
def test_it_is_a_double_loop_over_places_and_keys(size, chunk, propagate):
    features, missing = scene(*size)
    values = features if chunk == 1 else features[..., ::-1] ** 2 + 1
    found = attention.contextual_attention(features, missing, values, propagate, chunk=chunk)
    for n in range(2):
        expected = by_hand(features[n], missing[n], propagate, values[n])
        np.testing.assert_allclose(found[n], expected, atol=1e-4)


def found_and_gradient(features, missing):
    with tf.GradientTape() as tape:
        tape.watch(features)
        found = attention.contextual_attention(features, missing)
        loss = tf.reduce_sum(found * tf.cos(features))
    return found, tape.gradient(loss, features)


@pytest.fixture(scope="module")
def compiled():
    """``found_and_gradient`` as one graph for every size and every number of scores."""

    @tf.function(
        jit_compile=True,
        autograph=False,
        input_signature=[
            *(tf.TensorSpec([None, None, None, n]) for n in (3, 1)),
            tf.TensorSpec([], tf.int32),
        ],
    )
    def graph(features, missing, scores):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "SCORES", scores)
            return found_and_gradient(features, missing)

    return graph


@pytest.mark.parametrize(
    ("scores", "sizes"),
    [(attention.SCORES, [(12, 10), (9, 15)]), (600, [(9, 15)])],  # all rows at once; few
)
def test_compiled_for_any_size_it_is_the_same(compiled, scores, sizes, monkeypatch):
    monkeypatch.setattr(attention, "SCORES", scores)
    for size in sizes:
        features, missing = map(tf.constant, scene(*size))
        together = zip(
            compiled(features, missing, tf.constant(scores)),
            found_and_gradient(features, missing),
            strict=True,
        )
        for ours, eager in together:
            np.testing.assert_allclose(ours, eager, atol=2e-3)


def test_the_gradient_equals_finite_differences():
    features, missing = scene(8, 8)
    features *= 0.3
    direction = np.random.default_rng(3).normal(size=features.shape).astype(np.float32)

    def loss(x):
        return tf.reduce_sum(tf.sin(attention.contextual_attention(x, missing)))

    x = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    slope = float(tf.reduce_sum(tape.gradient(value, x) * direction))
    step = 2e-3
    ends = [float(loss(x + way * step * direction)) for way in (1, -1)]
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02)


def test_what_is_missing_is_never_seen():
    features, missing = scene(24)
    junk = np.where(
        missing > 0, 50 * np.random.default_rng(9).normal(size=features.shape), features
    )
    # Where a query touches no missing pixel, it sees the same whatever the hole holds.
    found = [
        attention.contextual_attention(x.astype(np.float32), missing, propagate=0).numpy()
        for x in (features, junk)
    ]
    apart = (np.abs(found[0] - found[1]).max(-1) > 1e-5)[0]
    assert apart[4:7, 3:6].any() and not apart[:1].any() and not apart[11:].any()
    # All that is seen is known: of a hole of one colour nothing of that colour comes back.
    coloured = np.where(missing > 0, 1e6, features).astype(np.float32)
    assert np.abs(attention.contextual_attention(coloured, missing)).max() < 10


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_without_a_key_the_features_come_back_and_the_gradient_is_finite(value):
    features, missing = scene()
    features[1] = value
    missing[0] = 1
    x = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = attention.contextual_attention(x, missing)
        loss = tf.reduce_sum(tf.square(found))
    np.testing.assert_array_equal(found[0], features[0])
    assert np.isfinite(tape.gradient(loss, x)).all()
    # Weights add up to one: a flat picture stays as it is, up to its border.
    np.testing.assert_allclose(found[1], features[1], atol=1e-5)


def test_a_repeated_texture_is_continued():
    tile = np.random.default_rng(1).normal(size=(8, 8, 4)).astype(np.float32)
    picture = np.tile(tile, (4, 4, 1))[None]
    missing = np.zeros((1, 32, 32, 1), np.float32)
    missing[0, 12:16, 12:16] = 1
    # A hole whose features are nearly right, as a network's coarse ones may be.
    noise = np.random.default_rng(2).normal(size=picture.shape).astype(np.float32)
    coarse = picture + missing * noise
    found = attention.contextual_attention(coarse, missing).numpy()
    hole = np.broadcast_to(missing > 0, picture.shape)
    error = np.square(found - picture)[hole].mean()
    assert error < 0.05 * np.square(coarse - picture)[hole].mean()
    places = attention.where_it_looks(coarse, missing).numpy()[0]
    rows, columns = np.meshgrid(range(16), range(16), indexing="ij")
    shift = places[6:8, 6:8] - np.stack([rows, columns], -1)[6:8, 6:8]
    assert not (shift % 4).any() and shift.any((0, 1)).any()
    hidden = missing[0, ::2, ::2, 0] > 0
    assert not hidden[places[..., 0], places[..., 1]].any()


def test_scores_that_are_propagated_on_continue_a_texture_into_a_hole_that_says_nothing():
    tile = np.random.default_rng(1).normal(size=(8, 8, 4)).astype(np.float32)
    picture = np.tile(tile, (6, 6, 1))[None]
    missing = np.zeros((1, 48, 48, 1), np.float32)
    missing[0, 15:33, 16:34] = 1
    hole = np.broadcast_to(missing > 0, picture.shape)

    def error(**options):
        empty = np.where(hole, np.float32(0), picture)
        found = attention.contextual_attention(empty, missing, **options).numpy()
        return np.square(found - picture)[hole].mean() / np.square(picture)[hole].mean()

    assert error() < 0.01 and error(propagate=1) > 0.1


def test_as_a_layer_it_keeps_the_type_and_reads_the_masks_pixels():
    features, missing = scene()
    masks = np.repeat(np.repeat(missing, 4, 1), 4, 2)
    images = np.random.default_rng(4).random((*masks.shape[:3], 3), np.float32)
    layer = attention.ContextualAttention(4)
    expected = attention.contextual_attention(features, missing)
    np.testing.assert_allclose(layer(features, masks, images)[0], expected, atol=1e-6)
    one = np.zeros_like(masks)
    one[:, 17, 14] = 1  # a single pixel hides a place
    place = np.zeros_like(missing)
    place[:, 4, 3] = 1
    expected = attention.contextual_attention(features, place)
    np.testing.assert_allclose(layer(features, one, images)[0], expected, atol=1e-6)
    half = attention.ContextualAttention(4, dtype="mixed_bfloat16")
    seen, picture = half(tf.cast(features, tf.bfloat16), masks, images)
    assert (seen.dtype, picture.dtype) == (tf.bfloat16, tf.float32)


def test_as_a_layer_it_takes_the_same_places_from_the_picture():
    images, masks = scene(48, 40)
    masks = np.maximum(masks, 0)
    masks[1] = 1  # nothing is known of the second one
    features = tf.nn.space_to_depth(np.where(masks > 0, np.float32(0), images), 4)
    junk = np.where(masks > 0, np.float32(np.nan), images)
    seen, found = attention.ContextualAttention(4)(features, masks, junk)
    assert found.shape == (2, 48, 40, 4)
    np.testing.assert_allclose(found[0, ..., :3], tf.nn.depth_to_space(seen, 4)[0], atol=1e-5)
    np.testing.assert_allclose(found[0, ..., 3], 1, atol=1e-5)
    assert not np.any(found[1])

"""The optimizers follow their papers, compiled or not."""

import math

import keras
import pytest
import tensorflow as tf

from common.errors import InputError
from common.training.optimizers import optimizer


def zeiler(gradients, rho=0.95, epsilon=1e-6):
    """ADADELTA, Algorithm 1 of Zeiler 2012, from x = 0."""
    x = squares = updates = 0.0
    for g in gradients:
        squares = rho * squares + (1 - rho) * g * g
        delta = -math.sqrt(updates + epsilon) / math.sqrt(squares + epsilon) * g
        updates = rho * updates + (1 - rho) * delta * delta
        x += delta
    return x


def adam(gradients, rate=1e-3, beta_1=0.5, beta_2=0.999, epsilon=1e-8):
    """Algorithm 1 of Kingma & Ba 2015, from x = 0."""
    x = m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
        x -= rate * (m / (1 - beta_1**t)) / (math.sqrt(v / (1 - beta_2**t)) + epsilon)
    return x


def torch_rmsprop(gradients, rate=5e-5, alpha=0.99, epsilon=1e-8):
    """Torch's RMSprop, from x = 0."""
    x = squares = 0.0
    for g in gradients:
        squares = alpha * squares + (1 - alpha) * g * g
        x -= rate * g / (math.sqrt(squares) + epsilon)
    return x


@pytest.mark.parametrize(
    ("arguments", "formula"),
    [
        (("rmsprop", 5e-5), torch_rmsprop),
        (("adadelta", 1.0), zeiler),
        (("adam", 1e-3, 0.5), adam),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_optimizers_follow_their_papers(arguments, formula, compiled):
    one, gradients = optimizer(*arguments), [0.3, -1.2, 0.01, 2.0]
    variables = [keras.Variable([0.0, 0.0]), keras.Variable(0.0)]
    one.build(variables)

    @tf.function(jit_compile=compiled)
    def step(gradient):
        one.apply([tf.stack([gradient, -gradient]), 2 * gradient], variables)

    for gradient in gradients:
        step(tf.constant(gradient))
    first, second = (variable.numpy() for variable in variables)
    x = formula(gradients)
    assert first == pytest.approx([x, -x], rel=1e-4)
    assert second == pytest.approx(formula([2 * g for g in gradients]), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "kerass"),
    [
        (
            ("adam", 0.1, 0.5, 0.9, 9),
            lambda: keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(0.1, 9), 0.5, 0.9, epsilon=1e-8
            ),
        ),
        (("adadelta", 1.0), lambda: keras.optimizers.Adadelta(1.0, rho=0.95, epsilon=1e-6)),
    ],
)
def test_what_kerass_own_optimizer_began_goes_on(arguments, kerass, tmp_path):
    gradients = [tf.constant([g, 1 - g]) for g in (0.3, -1.2, 0.01, 2.0)]

    def made(one):
        variable = keras.Variable([0.0, 0.0])
        one.build([variable])
        return one, variable, tf.train.Checkpoint(optimizer=one, variable=variable)

    def steps(one, variable, gradients):
        for gradient in gradients:
            one.apply([gradient], [variable])

    old, variable, checkpoint = made(kerass())
    steps(old, variable, gradients[:2])
    saved = checkpoint.save(str(tmp_path / "checkpoint"))
    halfway = variable.numpy()
    steps(old, variable, gradients[2:])

    new, restored, checkpoint = made(optimizer(*arguments))
    checkpoint.restore(saved).assert_consumed()
    assert restored.numpy() == pytest.approx(halfway, rel=0)
    steps(new, restored, gradients[2:])
    assert restored.numpy() == pytest.approx(variable.numpy(), rel=1e-4)


def test_rmsprop_takes_torchs_step_where_gradients_are_tiny():
    gradients = [2e-6, -1e-6, 3e-7, 1e-6]  # of a clipped critic
    steps = []
    for one in (
        optimizer("rmsprop", 5e-5),
        keras.optimizers.RMSprop(5e-5, rho=0.99, epsilon=1e-8),
    ):
        variable, positions = keras.Variable([0.0, 0.0]), []
        for gradient in gradients:
            one.apply([tf.constant([gradient, 0.0])], [variable])
            positions.append(variable.numpy())
        steps.append(positions)
        assert positions[-1][1] == 0
    expected = [torch_rmsprop(gradients[:n]) for n in range(1, 5)]
    assert [position[0] for position in steps[0]] == pytest.approx(expected, rel=1e-4)
    assert 100 < steps[0][0][0] / steps[1][0][0] < 1000


def test_the_learning_rate_falls_to_zero_on_a_cosine():
    one = optimizer("adam", 0.2, decay_steps=10)
    rates = [float(one._learning_rate(step)) for step in (0, 5, 10)]
    assert rates == pytest.approx([0.2, 0.1, 0.0], abs=1e-8)
    with pytest.raises(InputError, match="--optimizer=sgd.*adam"):
        optimizer("sgd", 1.0)

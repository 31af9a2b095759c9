"""One step on tiny images moves its own side only."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tests.worker.conftest import SMALL
from worker.inference.device import BFLOAT16
from worker.models.decoding import color_grid
from worker.models.generator import (
    build_generator,
    deep_encoder_layers,
    encoder_layers,
    load_imagenet_encoder,
)
from worker.models.serialization import in_precision
from worker.settings import EncoderPart, TrainSettings
from worker.training import gan as gan_module
from worker.training.data.dataset import Batch
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN, picture_of

K = len(color_grid())
LOG_PRIOR = np.full(K, -np.log(K), np.float32)
Step = Callable[[Batch, float], float]
Weights = dict[str, np.ndarray]


def a_gan(seed: int = 1, **recipe: Any) -> ColorizationGAN:
    """Build two small networks that know nothing but the pretrained encoder."""
    keras.utils.set_random_seed(seed)
    generator = build_generator(SMALL)
    load_imagenet_encoder(generator)
    return ColorizationGAN(generator, build_discriminator(), LOG_PRIOR, TrainSettings(**recipe))


@pytest.fixture(scope="module")
def _shared() -> tuple[ColorizationGAN, list[np.ndarray]]:
    gan = a_gan(train_encoder="none")
    return gan, gan.state()


@pytest.fixture
def gan(_shared: tuple[ColorizationGAN, list[np.ndarray]]) -> ColorizationGAN:
    """Return networks as they were at the beginning; built once, for building takes long."""
    _shared[0].restore(_shared[1])
    return _shared[0]


@pytest.fixture
def _eagerly() -> Iterator[None]:
    """Compile nothing, which would take most of a test of a few steps."""
    tf.config.run_functions_eagerly(True)  # noqa: FBT003 - it has no name
    yield
    tf.config.run_functions_eagerly(False)  # noqa: FBT003


def a_batch(seed: int = 0, size: int = 2) -> Batch:
    """Make a batch of 32 x 32 pixels."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, K, (size, 8, 8)).astype(np.int32)
    return Batch(rng.random((size, 32, 32, 1), np.float32), color_grid()[label], label)


def weights_of(model: keras.Model) -> Weights:
    """Copy all variables of a network, moving statistics included."""
    return {variable.path: np.array(ops.convert_to_numpy(variable)) for variable in model.variables}


def moved(before: Weights, after: Weights) -> set[str]:
    """Name the variables that are not what they were."""
    return {path for path in before if not np.array_equal(before[path], after[path])}


def encoder_paths(gan: ColorizationGAN) -> set[str]:
    """Name the variables of the pretrained encoder."""
    return {
        variable.path for layer in encoder_layers(gan.generator) for variable in layer.variables
    }


@pytest.mark.parametrize("stage", ["step_alone", "step_adversarial"])
def test_a_generator_step_moves_the_decoder_only(gan: ColorizationGAN, stage: str) -> None:
    """Every variable of the decoder moves; encoder and discriminator stay bit for bit."""
    generator, discriminator = weights_of(gan.generator), weights_of(gan.discriminator)
    loss = getattr(gan, stage)(a_batch(), 1e-3)

    assert np.isfinite(loss)
    assert set() == moved(discriminator, weights_of(gan.discriminator))
    assert set(generator) - encoder_paths(gan) == moved(generator, weights_of(gan.generator))


def test_a_discriminator_step_moves_the_discriminator_only(gan: ColorizationGAN) -> None:
    """Every kernel of the discriminator moves; the generator stays, its statistics too."""
    generator, discriminator = weights_of(gan.generator), weights_of(gan.discriminator)
    loss = gan.step_discriminator(a_batch(), 1e-3)
    after = moved(discriminator, weights_of(gan.discriminator))

    assert np.isfinite(loss)
    assert set() == moved(generator, weights_of(gan.generator))
    assert {path for path in discriminator if path.endswith("kernel")} <= after
    assert {variable.path for variable in gan.discriminator.trainable_variables} <= after


@pytest.mark.parametrize(("train_encoder", "moving"), [("none", 0), ("deep", 24), ("all", 48)])
def test_as_much_of_the_encoder_learns_as_was_asked_for(
    train_encoder: EncoderPart, moving: int
) -> None:
    """The generator's steps move none, the deep half or all of the pretrained layers."""
    gan = a_gan(train_encoder=train_encoder)
    layers = (deep_encoder_layers if train_encoder == "deep" else encoder_layers)(gan.generator)
    encoder = {variable.path for layer in layers[:moving] for variable in layer.weights}
    decoder = {variable.path for variable in gan.generator.trainable_variables} - encoder_paths(gan)
    expected = decoder | encoder

    assert moving in {0, len(layers)}

    for task in (gan._alone, gan._adversarial):
        assert expected == {variable.path for variable in task.trainable_variables}


@pytest.mark.usefixtures("_eagerly")
def test_the_encoder_learns_more_slowly() -> None:
    """The first step of Adam moves a weight by the rate; one of the encoder by a tenth of it."""
    gan = a_gan(train_encoder="all")
    before, paths = weights_of(gan.generator), encoder_paths(gan)
    gan.step_alone(a_batch(), 1e-3)
    steps = {
        path: np.abs(value - before[path]).max()
        for path, value in weights_of(gan.generator).items()
        if path.endswith("kernel")
    }

    assert pytest.approx(1e-3, rel=0.05) == max(
        step for path, step in steps.items() if path not in paths
    )
    assert pytest.approx(1e-4, rel=0.05) == max(steps[path] for path in paths & set(steps))


def test_no_rate_no_learning(gan: ColorizationGAN) -> None:
    """The rate given to a step is the one it uses: at 0 no kernel moves."""
    before = weights_of(gan.generator)
    gan.step_alone(a_batch(), 0.0)

    assert not {
        path for path in moved(before, weights_of(gan.generator)) if path.endswith("kernel")
    }


def test_practice_on_one_batch_helps(gan: ColorizationGAN) -> None:
    """A few steps on one batch lower the class loss, and the discriminator's its own."""
    batch = a_batch()
    alone = [gan.step_alone(batch, 3e-3) for _ in range(12)]
    judged = [gan.step_discriminator(batch, 1e-3) for _ in range(12)]

    assert alone[-1] < alone[0] - 0.3
    assert judged[-1] < judged[0] - 0.1


def test_the_first_loss_is_that_of_knowing_nothing(gan: ColorizationGAN) -> None:
    """A fresh head is near log K: neither the loss nor the head begins wrongly scaled."""
    assert np.log(K) == pytest.approx(gan.step_alone(a_batch(), 0.0), abs=1.5)


def test_passing_for_real_is_part_of_the_adversarial_loss(gan: ColorizationGAN) -> None:
    """The adversarial stage's loss exceeds the lone one's by the weighted verdict."""
    start = gan.state()
    alone = gan.step_alone(a_batch(), 0.0)
    gan.restore(start)
    adversarial = gan.step_adversarial(a_batch(), 0.0)

    assert 0 < adversarial - alone < 10 * TrainSettings().adversarial_weight


@pytest.mark.parametrize("stage", ["step_alone", "step_discriminator", "step_adversarial"])
def test_restored_state_goes_on_identically(gan: ColorizationGAN, stage: str) -> None:
    """After restore the next steps give the same losses, weights, moments and averages."""
    step: Step = getattr(gan, stage)
    gan.step_alone(a_batch(1), 1e-3)
    gan.step_discriminator(a_batch(2), 1e-3)
    gan.step_adversarial(a_batch(3), 1e-3)
    saved = gan.state()
    first = [step(a_batch(4), 1e-3), step(a_batch(5), 1e-3)]
    expected = gan.state()
    gan.restore(saved)
    second = [step(a_batch(4), 1e-3), step(a_batch(5), 1e-3)]

    assert first == pytest.approx(second, rel=1e-5)
    for one, other in zip(expected, gan.state(), strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_state_is_complete(gan: ColorizationGAN) -> None:
    """Networks that never trained take over a state and go on as its owner would have."""
    gan.step_alone(a_batch(1), 1e-3)
    gan.step_discriminator(a_batch(2), 1e-3)
    other = a_gan(seed=99, train_encoder="none")
    other.restore(gan.state())
    expected = [
        gan.step_discriminator(a_batch(3), 1e-3),
        gan.step_alone(a_batch(4), 1e-3),
        gan.step_alone(a_batch(5), 1e-3),
    ]
    actual = [
        other.step_discriminator(a_batch(3), 1e-3),
        other.step_alone(a_batch(4), 1e-3),
        other.step_alone(a_batch(5), 1e-3),
    ]

    assert expected == pytest.approx(actual, rel=1e-4)


def test_a_foreign_state_is_refused(gan: ColorizationGAN) -> None:
    """A state with too few arrays, or of other shapes, is a ValueError."""
    state = gan.state()
    with pytest.raises(ValueError, match=r"zip|shorter|argument"):
        gan.restore(state[:-1])
    with pytest.raises(ValueError, match="shape"):
        gan.restore([np.zeros((3, 3)), *state[1:]])


def test_the_average_forgets_its_beginning_soon() -> None:
    """A variable that leaves zero for 1 is averaged to nearly 1 in a few steps, and long ones hold.

    The average of n steps spans about a quarter of them, at most 2,000.
    """
    variable = keras.Variable(np.zeros(1, np.float32))
    optimizer = gan_module._averaging_optimizer(1e-3, 0.9)
    optimizer.build([variable])
    average = optimizer._model_variables_moving_average[0]
    spans = {}
    for step in (0, 10, 1000, 100_000):
        optimizer.iterations.assign(step)
        average.assign(np.zeros(1))
        variable.assign(np.ones(1))
        optimizer._update_model_variables_moving_average([variable])
        spans[step] = 1 / float(ops.convert_to_numpy(average)[0])

    assert {0: 1, 10: 3.5, 1000: 251, 100_000: 2000} == pytest.approx(spans, rel=1e-3)


def test_the_served_generator_is_averaged(gan: ColorizationGAN) -> None:
    """What is served holds the average over steps of all that learning moves: here by hand."""
    gan.step_alone(a_batch(1), 1e-2)
    first = weights_of(gan.generator)
    gan.step_alone(a_batch(2), 1e-2)
    second = weights_of(gan.generator)
    trained = {variable.path for variable in gan.generator.trainable_variables}
    trained |= {path for path in second if "/moving_" in path}
    served = weights_of(gan.averaged_generator(adversarial=False))

    assert len(second) == len(served)
    for path in trained:
        expected = 1 / 5 * first[path] + 4 / 5 * second[path]
        assert np.allclose(expected, served[path], rtol=1e-3, atol=1e-6), path
    for path in set(second) - trained:
        assert np.array_equal(second[path], served[path]), path


def test_the_average_has_the_statistics_of_its_own_steps(gan: ColorizationGAN) -> None:
    """Normalization is averaged as the weights are; those of the last step alone do not fit."""

    def values(model: keras.Model) -> np.ndarray:
        return np.array(ops.convert_to_numpy(model.get_layer("decode16_norm").moving_mean))

    seen = []
    for seed in range(5):
        gan.step_alone(a_batch(seed), 1e-3)
        seen.append(values(gan.generator))
    expected = seen[0]
    for steps, value in enumerate(seen[1:], 1):
        share = max(1 - gan_module.EMA_MOMENTUM, gan_module.WINDOW / (gan_module.WINDOW + steps))
        expected = expected + share * (value - expected)
    served = gan.averaged_generator(adversarial=False)
    with gan.averaged(adversarial=False) as lent:
        during = values(lent)

    assert expected == pytest.approx(values(served), abs=1e-5)
    assert np.array_equal(during, values(served))
    assert np.array_equal(seen[-1], values(gan.generator))
    assert not np.array_equal(seen[-1], during)


def test_serving_leaves_the_training_alone(gan: ColorizationGAN) -> None:
    """Taking the averaged generator out changes nothing in training."""
    gan.step_alone(a_batch(1), 1e-2)
    before = gan.state()
    gan.averaged_generator(adversarial=False)

    assert all(map(np.array_equal, before, gan.state()))


def test_the_adversarial_stage_begins_at_the_average(gan: ColorizationGAN) -> None:
    """The second stage takes the first one's averaged weights; its averages start there."""
    gan.step_alone(a_batch(1), 1e-2)
    gan.step_alone(a_batch(2), 1e-2)
    averaged = weights_of(gan.averaged_generator(adversarial=False))
    gan.begin_adversarial()
    trained = {variable.path for variable in gan.generator.trainable_variables}
    now, served = weights_of(gan.generator), weights_of(gan.averaged_generator(adversarial=True))

    for path in trained:
        assert np.array_equal(averaged[path], now[path]), path
        assert np.array_equal(averaged[path], served[path]), path


@pytest.mark.usefixtures("_eagerly")
def test_what_is_learned_does_not_hang_on_the_precision() -> None:
    """With a learning encoder in float32 and the rest in bfloat16, losses are those of float32."""
    keras.utils.set_random_seed(1)
    generator = build_generator(SMALL)
    load_imagenet_encoder(generator)
    losses = {}
    for policy in ("float32", BFLOAT16):
        copy = in_precision(generator, policy, "float32")
        recipe = TrainSettings(train_encoder="all")
        gan = ColorizationGAN(copy, build_discriminator(), LOG_PRIOR, recipe)
        losses[policy] = [gan.step_alone(a_batch(), 1e-3) for _ in range(3)]

    assert losses["float32"][0] > losses["float32"][2]
    assert losses["float32"] == pytest.approx(losses[BFLOAT16], rel=1e-3)


def test_the_discriminator_gives_a_verdict_for_each_patch() -> None:
    """One logit for each 8 x 8 cells, in float32 under any precision."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    verdicts = build_discriminator()(np.zeros((2, 16, 24, 3), np.float32))

    assert (2, 2, 3, 1) == verdicts.shape
    assert "float32" == keras.backend.standardize_dtype(verdicts.dtype)


def test_the_judged_picture_is_lightness_and_color() -> None:
    """picture_of averages lightness to the size of the chroma and scales both to -1..1."""
    lightness = np.random.default_rng(0).random((1, 16, 16, 1)).astype(np.float32)
    ab = np.full((1, 4, 4, 2), (55.0, -110.0), np.float32)
    picture = np.asarray(ops.convert_to_numpy(picture_of(lightness, ab)))
    expected = lightness.reshape(1, 4, 4, 4, 4, 1).mean(axis=(2, 4))[..., 0] * 2 - 1

    assert (1, 4, 4, 3) == picture.shape
    assert expected == pytest.approx(picture[..., 0], abs=1e-5)
    assert (0.5, -1.0) == pytest.approx(tuple(picture[0, 0, 0, 1:]))

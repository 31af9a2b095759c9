"""ColorizationGAN: a generator and a discriminator, each with its own optimizer.

Each is trained by a small model around both networks that computes one loss and updates the
variables of one network. This runs on every Keras backend.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops
from numpy.typing import NDArray

from worker.models.decoding import (
    CHROMA_GAIN,
    CHROMA_STRIDE,
    TEMPERATURE,
    decode,
    share_of_shift,
)
from worker.models.generator import ENCODER, deep_encoder_layers, encoder_layers
from worker.settings import TrainSettings
from worker.training.data.dataset import Batch
from worker.training.losses import adversarial_loss, class_loss, discriminator_loss

AB_SCALE = 110.0  # scales ab to about -1..1 for the discriminator
TRAINING_SHIFT = 0.7  # share of the log-prior in the decoding for discriminator and validation
EMA_MOMENTUM = 0.9995  # of the averaged weights, which are the ones published
ENCODER_SHARE = 0.1  # of the learning rate, for the encoder: it starts from ImageNet's features
WINDOW = 4  # until that momentum is reached, the last quarter of the steps is averaged
CLIP_NORM = 1.0
WEIGHT_DECAY = 0.1


def picture_of(lightness: KerasTensor, ab: KerasTensor) -> KerasTensor:
    """Join lightness (N, S, S, 1), downsampled, and ab (N, S/4, S/4, 2), both scaled to -1..1."""
    small = ops.average_pool(lightness, CHROMA_STRIDE, strides=CHROMA_STRIDE)
    return ops.concatenate([small * 2 - 1, ab / AB_SCALE], axis=-1)


class _Task(keras.Model):
    """Both networks, of which only `trainable` is updated."""

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        log_prior: NDArray[np.float32],
        trainable: keras.Model,
    ) -> None:
        super().__init__()
        self._shift = TRAINING_SHIFT * log_prior
        self.generator = generator
        self.discriminator = discriminator
        self._own = [id(variable) for variable in trainable.trainable_variables]

    def decode_for_discriminator(self, lightness: KerasTensor, logits: KerasTensor) -> KerasTensor:
        """Decode logits (N, s, s, K) to ab (N, s, s, 2) about as the published model will."""
        share = ops.stop_gradient(share_of_shift(lightness, logits))
        return decode((logits - share * self._shift) / TEMPERATURE, CHROMA_GAIN)[0]

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        return [variable for variable in self.variables if id(variable) in self._own]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        return [variable for variable in self.variables if id(variable) not in self._own]

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        return self.non_trainable_variables


class GeneratorTask(_Task):
    """Trains the generator; with a weight above 0, also against the discriminator."""

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        log_prior: NDArray[np.float32],
        adversarial_weight: float,
    ) -> None:
        """Hold both networks; only one is updated."""
        super().__init__(generator, discriminator, log_prior, trainable=generator)
        self.adversarial_weight = adversarial_weight

    def call(self, lightness: KerasTensor, training: bool | None = None) -> KerasTensor:  # noqa: FBT001
        """Return logits; called by Keras."""
        return self.generator(lightness, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
    ) -> KerasTensor:
        """Add the losses up; called by Keras with lightness, label and logits."""
        loss = class_loss(y, y_pred)
        if self.adversarial_weight:
            fake = picture_of(x, self.decode_for_discriminator(x, y_pred))
            verdict = self.discriminator(fake, training=False)
            loss = loss + self.adversarial_weight * adversarial_loss(verdict)
        return loss


class DiscriminatorTask(_Task):
    """Trains the discriminator to tell true colors from generated ones."""

    def __init__(
        self, generator: keras.Model, discriminator: keras.Model, log_prior: NDArray[np.float32]
    ) -> None:
        """Hold both networks; only one is updated."""
        super().__init__(generator, discriminator, log_prior, trainable=discriminator)

    def call(self, lightness: KerasTensor) -> KerasTensor:
        """Return generated ab; called by Keras."""
        logits = self.generator(lightness, training=False)
        return ops.stop_gradient(self.decode_for_discriminator(lightness, logits))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
    ) -> KerasTensor:
        """Classify true and generated colors; called by Keras with lightness and both."""
        on_real = self.discriminator(picture_of(x, y), training=True)
        on_fake = self.discriminator(picture_of(x, y_pred), training=True)
        return discriminator_loss(on_real, on_fake)


class ColorizationGAN:
    """Both networks in training, one step at a time; their state can be saved as plain arrays.

    Args:
        generator: from lightness to logits over the color grid; updated in place.
        discriminator: updated in place.
        log_prior: (K,) log-probability of each color of the grid in the collection.
        recipe: learning rates, and which encoder layers are trained.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        log_prior: NDArray[np.float32],
        recipe: TrainSettings,
    ) -> None:
        """Build one optimizer for each task."""
        moving = {
            "none": [],
            "deep": deep_encoder_layers(generator),
            "all": encoder_layers(generator),
        }[recipe.train_encoder]
        for layer in encoder_layers(generator):
            layer.trainable = layer in moving
        self.generator = generator
        self.discriminator = discriminator
        self._alone = GeneratorTask(generator, discriminator, log_prior, 0.0)
        self._adversarial = GeneratorTask(
            generator, discriminator, log_prior, recipe.adversarial_weight
        )
        self._discrimination = DiscriminatorTask(generator, discriminator, log_prior)
        self._alone.compile(optimizer=_averaging_optimizer(recipe.rate, beta_1=0.9))
        self._adversarial.compile(
            optimizer=_averaging_optimizer(recipe.adversarial_rate, beta_1=0.5)
        )
        self._discrimination.compile(
            optimizer=keras.optimizers.Adam(
                3 * recipe.adversarial_rate, beta_1=0.5, clipnorm=CLIP_NORM
            )
        )
        for task in (self._alone, self._adversarial, self._discrimination):
            task.optimizer.build(task.trainable_variables)
        # Averaged weights need batch statistics averaged over the same steps: with those of the
        # last steps alone, a generator with a trained encoder falls apart.
        self._statistics = [
            variable
            for layer in generator.layers
            if isinstance(layer, keras.layers.BatchNormalization)
            for variable in layer.non_trainable_variables
        ]
        self._averaged_statistics = [
            keras.Variable(ops.convert_to_numpy(variable), trainable=False, dtype="float32")
            for variable in self._statistics
        ]

    def step_alone(self, batch: Batch, rate: float) -> float:
        """Train the generator by the class loss alone; return its loss."""
        loss = self._step(self._alone, batch.lightness, batch.label, rate)
        self._average_statistics(self._alone)
        return loss

    def step_adversarial(self, batch: Batch, rate: float) -> float:
        """Train the generator by the class and the adversarial loss; return their sum."""
        loss = self._step(self._adversarial, batch.lightness, batch.label, rate)
        self._average_statistics(self._adversarial)
        return loss

    def step_discriminator(self, batch: Batch, rate: float) -> float:
        """Train the discriminator; return its loss."""
        return self._step(self._discrimination, batch.lightness, batch.ab, rate)

    def _average_statistics(self, task: _Task) -> None:
        """Average the batch statistics over the same steps as the weights."""
        steps = int(ops.convert_to_numpy(task.optimizer.iterations)) - 1
        share = float(ops.convert_to_numpy(_share(steps)))
        for variable, average in zip(self._statistics, self._averaged_statistics, strict=True):
            now, mean = ops.convert_to_numpy(variable), ops.convert_to_numpy(average)
            average.assign(mean + share * (now - mean))

    @staticmethod
    def _step(task: _Task, x: NDArray[Any], y: NDArray[Any], rate: float) -> float:
        task.optimizer.learning_rate = rate
        return float(task.train_on_batch(x, y))

    def begin_adversarial(self) -> None:
        """Continue from the averaged weights of the first stage, and start a new average there.

        Values are copied as arrays: on JAX, two variables that share a buffer are deleted together
        by the next step.
        """
        for variable, average in zip(
            self._alone.trainable_variables, self._averages(self._alone), strict=True
        ):
            variable.assign(ops.convert_to_numpy(average))
        for average, variable in zip(
            self._averages(self._adversarial), self._alone.trainable_variables, strict=True
        ):
            average.assign(ops.convert_to_numpy(variable))
        for variable, average in zip(self._statistics, self._averaged_statistics, strict=True):
            variable.assign(ops.convert_to_numpy(average))

    @staticmethod
    def _averages(task: _Task) -> list[keras.Variable]:
        return list(task.optimizer._model_variables_moving_average)  # noqa: SLF001  (Keras has no public way)

    def averaged_generator(self, *, adversarial: bool) -> keras.Model:
        """Return a copy of the generator with the averaged weights of the stage, to publish."""
        averaged = keras.models.clone_model(self.generator)
        averaged.set_weights(self.generator.get_weights())
        task = self._adversarial if adversarial else self._alone
        by_path = {
            variable.path: average
            for variable, average in zip(
                task.trainable_variables, self._averages(task), strict=True
            )
        }
        by_path |= {
            variable.path: average
            for variable, average in zip(self._statistics, self._averaged_statistics, strict=True)
        }
        for variable in averaged.variables:
            if variable.path in by_path:
                variable.assign(ops.convert_to_numpy(by_path[variable.path]))
        return averaged

    @contextmanager
    def averaged(self, *, adversarial: bool) -> Iterator[keras.Model]:
        """Give the generator the averaged weights of the stage while the block runs.

        Before the first step there are no averages, so it keeps its own.
        """
        task = self._adversarial if adversarial else self._alone
        if not (adversarial or int(ops.convert_to_numpy(task.optimizer.iterations))):
            yield self.generator
            return
        variables = [*task.trainable_variables, *self._statistics]
        averages = [*self._averages(task), *self._averaged_statistics]
        own = [np.array(ops.convert_to_numpy(value)) for value in variables]
        try:
            for variable, average in zip(variables, averages, strict=True):
                variable.assign(ops.convert_to_numpy(average))
            yield self.generator
        finally:
            for variable, value in zip(variables, own, strict=True):
                variable.assign(value)

    def state(self) -> list[NDArray[Any]]:
        """Return all that training changes: networks, optimizers, averaged statistics."""
        return [np.asarray(ops.convert_to_numpy(variable)) for variable in self._variables()]

    def restore(self, state: list[NDArray[Any]]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it is of networks of another shape.
        """
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[keras.Variable]:
        tasks = (self._alone, self._adversarial, self._discrimination)
        return [
            *self.generator.variables,
            *self.discriminator.variables,
            *(variable for task in tasks for variable in task.optimizer.variables),
            *self._averaged_statistics,
        ]


class AveragingAdamW(keras.optimizers.AdamW):
    """AdamW that averages the weights over the last quarter of its steps, at most over 2,000.

    Keras's own average has a constant momentum, so after a short training it still holds half of
    the initial weights. The encoder learns at a tenth of the rate: at the whole rate it forgets
    faster than the decoder learns.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        """Note which variables are the encoder's; called before the first step."""
        super().build(variables)
        self._shares = [
            ENCODER_SHARE if variable.path.startswith(ENCODER) else 1.0 for variable in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take a step of Adam; called by Keras for each variable."""
        share = self._shares[self._get_variable_index(variable)]
        super().update_step(gradient, variable, share * learning_rate)

    def _update_model_variables_moving_average(self, trainable_variables: list[Any]) -> None:
        share = _share(ops.cast(self.iterations, "float32"))
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            average.assign(average + share * (variable - average))


def _share(steps: Any) -> Any:
    """Return the weight of the next step in the average: 1 at first, then less and less.

    This is polynomial-decay averaging (Shamir and Zhang 2013, "Stochastic gradient descent for
    non-smooth optimization") until the momentum is reached.
    """
    return ops.maximum(1 - EMA_MOMENTUM, WINDOW / (WINDOW + steps))


def _averaging_optimizer(rate: float, beta_1: float) -> keras.optimizers.Optimizer:
    optimizer = AveragingAdamW(
        rate,
        beta_1=beta_1,
        weight_decay=WEIGHT_DECAY,
        clipnorm=CLIP_NORM,
        use_ema=True,
        ema_overwrite_frequency=None,
    )
    optimizer.exclude_from_weight_decay(var_names=[ENCODER])  # towards 0 is away from ImageNet
    return optimizer

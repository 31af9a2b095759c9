"""The run log: numbers, curves and samples of a training, in its folder.

`log.jsonl` has a line for every ten seconds of steps, every check and every event; `curves.png` is
drawn from it. `tensorboard/` has the same numbers for TensorBoard. `samples.png` shows photographs
as the generator colors them now. A resumed training continues all of them.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from worker.atomic import replacing, write_atomically
from worker.color.cielab import Pixels
from worker.training.evaluation.contact_sheet import contact_sheet
from worker.training.run import Check, Progress

LOG, CURVES, SAMPLES, TENSORBOARD = "log.jsonl", "curves.png", "samples.png", "tensorboard"
LINE_SECONDS = 10.0  # of steps in a line; ten hours make 3,600 lines


class RunLog:
    """Records a training.

    Args:
        folder: of the run.
        progress: how far the training is; later lines, which a killed run leaves, are dropped, and
            so is everything at the start of a new training.

    Raises:
        OSError: the disk failed (all methods); lines already written are kept.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        """Drop what is later than the progress."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = _lines_until(folder / LOG, progress)
        if not self._lines:
            shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
            for name in (CURVES, SAMPLES):
                (folder / name).unlink(missing_ok=True)
        write_atomically(folder / LOG, "".join(map(_text, self._lines)))
        self._generator: list[float] = []
        self._discriminator: list[float] = []
        self._step = progress.step
        self._line_from = progress.seconds
        self._events: Any = None

    def step(self, progress: Progress) -> None:
        """Record a step; a line has the mean losses of ten seconds, None for an idle network."""
        if progress.step != self._step:
            self._step = progress.step
            self._generator.append(progress.generator_loss)
        if progress.adversarial:
            self._discriminator.append(progress.discriminator_loss)
        if progress.seconds - self._line_from < LINE_SECONDS:
            return
        generator, discriminator = _mean(self._generator), _mean(self._discriminator)
        self._begin_line(progress)
        line = {
            "kind": "steps",
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "generator_loss": generator,
            "discriminator_loss": discriminator,
            "rate": progress.rate,
        }
        self._write(line)
        names = {"loss/generator": generator, "loss/discriminator": discriminator}
        scalars = {name: loss for name, loss in names.items() if loss is not None}
        self._write_events({**scalars, "rate": progress.rate}, progress.batches)

    def check(self, check: Check, progress: Progress) -> None:
        """Record a check."""
        self._write({"kind": "check", **asdict(check)})
        scalars = {"color/colorfulness": check.colorfulness, "color/variety": check.variety}
        if check.loss is not None:
            scalars["loss/validation"] = check.loss
        self._write_events(scalars, progress.batches)

    def event(self, kind: str, progress: Progress, words: str) -> None:
        """Record the beginning of a stage ("stage") or a rollback ("rolled_back").

        Earlier steps of the same ten seconds get no line.
        """
        self._begin_line(progress)
        seconds = round(progress.seconds, 1)
        self._write({"kind": kind, "step": progress.step, "seconds": seconds, "words": words})

    def draw(self, samples: Sequence[tuple[Pixels, Pixels, Pixels]]) -> None:
        """Draw the curves so far, and samples of (gray, colored, true) photographs."""
        sheet = contact_sheet(samples, ("black and white", "colored", "true colors"))
        _written, png = cv2.imencode(".png", sheet[..., ::-1])
        write_atomically(self._folder / SAMPLES, png.tobytes())
        if len(self._lines) > 1:
            self._draw_curves()

    def _draw_curves(self) -> None:
        # Imported here so that a GPU machine without matplotlib can train.
        from worker.training.curves import draw_curves  # noqa: PLC0415

        with replacing(self._folder / CURVES, durable=False) as file:
            draw_curves(self._lines, file)

    def close(self) -> None:
        """Flush TensorBoard's writer."""
        if self._events is not None:
            self._events.close()

    def _begin_line(self, progress: Progress) -> None:
        self._generator, self._discriminator = [], []
        self._line_from = progress.seconds

    def _write(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        with (self._folder / LOG).open("a") as file:
            file.write(_text(line))

    def _write_events(self, scalars: dict[str, float], step: int) -> None:
        if self._events is None:
            # Imported here because it loads TensorFlow, which takes seconds.
            from tensorboard.summary import Writer  # noqa: PLC0415

            self._events = Writer(str(self._folder / TENSORBOARD))
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step=step)
        self._events.flush()


def _mean(losses: Sequence[float]) -> float | None:
    return round(sum(losses) / len(losses), 5) if losses else None


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _lines_until(path: Path, progress: Progress) -> list[dict[str, Any]]:
    """Read the lines up to a training's progress, skipping any that a kill cut off."""
    lines: list[dict[str, Any]] = []
    if progress.checks and path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line["seconds"] <= round(progress.seconds, 1):
                lines.append(line)
    return lines

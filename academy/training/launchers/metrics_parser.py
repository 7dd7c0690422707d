"""Figures in the lines of a trainer that speaks no JSON: Unsloth, transformers, plain PyTorch.

Every pattern is a fixed name followed by bounded parts, so a line takes time in proportion to its
length, whatever it holds; and a line is never read beyond `_LONGEST_LINE` characters.
"""

from __future__ import annotations

import math
import re
from typing import Any

_LONGEST_LINE = 8192

#: A number and what may not follow it, so that half of a version or of a word is no number.
_NUMBER = (
    r"([-+]?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,24})(?:\.\d{0,24})?(?:e[-+]?\d{1,4})?"
    r"|[-+]?\.\d{1,24}(?:e[-+]?\d{1,4})?|[-+]?(?:nan|inf(?:inity)?))(%?)(?![\w.,]*\w)"
)
_BETWEEN = r"['\"]?(?:\s{0,4}[:=]\s{0,4}|\s{1,4})['\"]?(?:tensor\()?"
_START = r"(?<![\w/.\-])"


def _named(*names: str) -> re.Pattern[str]:
    return re.compile(_START + "(?:" + "|".join(names) + ")" + _BETWEEN + _NUMBER, re.I)


_VALUES = {
    "eval_loss": _named(r"(?:eval|val|valid|validation|test)[ _/\-]loss"),
    "loss": _named(r"(?:(?:train|training|avg|mean)[ _/\-])?loss"),
    "learning_rate": _named(r"(?:train[_/])?learning[ _]rate", r"(?:train[_/])?lr"),
    "grad_norm": _named(r"(?:train[_/])?grad(?:ient)?[ _]norm", "gnorm"),
    "accuracy": _named(r"(?:(?:train|mean)[_/ ])?(?:token[_ ])?acc(?:uracy)?"),
    "tokens_per_second": _named(r"tok(?:en)?s?(?:/s(?:ec)?|[_ ]per[_ ]sec(?:ond)?)"),
}
_COUNT = r"(\d{1,12})"
_OF = r"\s{0,4}(?:/|of)\s{0,4}" + _COUNT
_EPOCH_OF = re.compile(_START + r"epochs?\s{0,3}[:=]?\s{0,3}\[?\s{0,3}" + _COUNT + _OF, re.I)
_EPOCH = re.compile(_START + r"epoch['\"]?\s{0,3}[:=]?\s{0,3}['\"\[]?" + _NUMBER, re.I)
_STEP_OF = re.compile(
    _START + r"(?:global[_ ])?(?:steps?|iter(?:ation)?s?|batch)\s{0,3}[:=]?\s{0,3}\[?\s{0,3}"
    rf"{_COUNT}{_OF}",
    re.I,
)
_STEP = re.compile(
    _START + r"(?:global[_ ])?(?:step|iter(?:ation)?)['\"]?\s{0,3}[:=]?\s{0,3}['\"]?"
    rf"{_COUNT}(?![\w.]|\s{{0,4}}/)",
    re.I,
)
#: ``Epoch: [3][ 10/500]``, PyTorch's ImageNet example; its epochs begin at 0.
_EPOCH_AND_STEP = re.compile(
    _START + rf"epoch:?\s{{0,3}}\[{_COUNT}\]\s{{0,3}}\[\s{{0,6}}{_COUNT}{_OF}\]", re.I
)
#: ``Train Epoch: 1 [640/60000 (1%)]``, PyTorch's MNIST example; the numbers count rows.
_EPOCH_AND_ROWS = re.compile(
    rf"epoch:?\s{{1,3}}{_COUNT}\s{{1,3}}\[\s{{0,6}}{_COUNT}/{_COUNT}\s{{1,3}}\(", re.I
)
#: ``  7%|▋ | 7/100 [00:10<01:30, 1.0it/s]`` of tqdm, and Keras' ``7/100 [==>..]``.
_BAR = re.compile(
    rf"(\d{{1,3}})%\|[^|]{{0,300}}\|\s{{0,4}}{_COUNT}/{_COUNT}"
    r"\s{0,4}(?:\[[\d:.]{1,12}<([\d:?]{1,12}))?"
)
#: A bar in a line that tells the epoch of so many: ``Epoch 2/3:  45%|████▌     | 45/100``.
_BAR_STEPS = re.compile(rf"\d{{1,3}}%\|[^|]{{0,300}}\|\s{{0,4}}{_COUNT}/{_COUNT}")
_KERAS_BAR = re.compile(rf"(?<![\w/]){_COUNT}/{_COUNT}\s{{1,4}}(?:\[[=>.]{{3,60}}\]|[━╸ ]{{3,60}})")
#: What a bar of the training itself may be called; others count files, shards or rows.
_TRAINING_BARS = re.compile(r"^(?:train(?:ing)?|epochs?|steps?|iter(?:ation)?s?|fit)\b", re.I)
_PERCENT = re.compile(
    r"(?:progress\s{0,3}[:=]?\s{0,3}(\d{1,3}(?:\.\d{1,6})?)\s{0,2}%"
    r"|(?<![\w.])(\d{1,3}(?:\.\d{1,6})?)\s{0,2}%\s{0,3}(?:complete|done|finished))",
    re.I,
)
_TOTAL_STEPS = re.compile(r"total (?:optimization )?steps\s{0,3}[:=]\s{0,3}([\d,]{1,16})", re.I)
_TOTAL_EPOCHS = re.compile(r"num(?:ber of)? (?:train )?epochs\s{0,3}[:=]\s{0,3}(\d{1,6})", re.I)
_NO_NUMBER = re.compile(r"nan|inf", re.I)
_COLOURS = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")


class TrainingMetricsParser:
    """Reads one trainer's lines, in order, and remembers what later lines leave out.

    Transformers prints losses without a step and a bar with it; a banner tells the totals.
    """

    def __init__(self) -> None:
        self._step: int | None = None
        self._total_steps: int | None = None
        self._epoch: float | None = None
        self._total_epochs: int | None = None
        self._progress: float | None = None
        self._eta: float | None = None

    def parse(self, line: str) -> dict[str, Any] | None:
        """The fields of a ``metrics`` event; None for a line that says nothing new.

        Fields that a line and those before it did not tell are missing. A number that is not
        finite is None, as in our own trainer's events. Shares are from 0 to 1.
        """
        text = _COLOURS.sub("", line[:_LONGEST_LINE])
        if not (any(each.isdigit() for each in text) or _NO_NUMBER.search(text)):
            return None
        before = (self._step, self._epoch, self._progress)
        is_summary = "train_runtime" in text
        # The last line of transformers repeats the mean of all losses, which is no new point.
        values = {} if is_summary else self._values(text)
        self._read_totals(text)
        self._read_place(text, has_loss="loss" in values)
        if not values and before == (self._step, self._epoch, self._progress):
            return None
        place = {
            "step": self._step,
            "total_steps": self._total_steps,
            "epoch": self._epoch,
            "progress": self._progress,
            "eta_seconds": self._eta,
        }
        return values | {name: each for name, each in place.items() if each is not None}

    @staticmethod
    def _values(text: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, pattern in _VALUES.items():
            match = pattern.search(text)
            if match is not None:
                found[name] = _number(match[1], is_percent=match[2] == "%")
        return found

    def _read_totals(self, text: str) -> None:
        if match := _TOTAL_STEPS.search(text):
            self._total_steps = int(match[1].replace(",", "") or 0) or None
        if match := _TOTAL_EPOCHS.search(text):
            self._total_epochs = int(match[1]) or None

    def _read_place(self, text: str, *, has_loss: bool) -> None:
        """Where the training is: the most telling form that the line has."""
        if match := _EPOCH_AND_STEP.search(text):
            self._at_step_of_epoch(int(match[1]), int(match[2]), int(match[3]))
        elif match := _EPOCH_AND_ROWS.search(text):
            self._at_share_of_epoch(int(match[1]) - 1, int(match[2]), int(match[3]))
        elif match := _EPOCH_OF.search(text):
            epoch, self._total_epochs = int(match[1]), int(match[2]) or None
            inner = _STEP_OF.search(text) or _KERAS_BAR.search(text) or _BAR_STEPS.search(text)
            if inner:
                self._at_step_of_epoch(epoch - 1, int(inner[1]), int(inner[2]))
            else:
                # With a loss the epoch is over; without one it begins.
                self._set_epoch(float(epoch if has_loss else epoch - 1))
        else:
            self._read_step(text)
        if match := _PERCENT.search(text):
            self._progress = _share(float(match[1] or match[2]), 100)

    def _read_step(self, text: str) -> None:
        if match := _EPOCH.search(text):
            epoch = _number(match[1])
            if epoch is not None and 0 <= epoch < 1e6:
                self._set_epoch(epoch)
        bar = _training_bar(text)
        if bar is not None:
            self._set_step(int(bar[2]), int(bar[3]))
            self._eta = _seconds(bar[4]) if bar[4] else None
        elif match := _STEP_OF.search(text):
            self._set_step(int(match[1]), int(match[2]))
        elif match := _STEP.search(text):
            self._set_step(int(match[1]), self._total_steps)

    def _set_step(self, step: int, total: int | None) -> None:
        self._step, self._total_steps, self._eta = step, total or None, None
        if total:
            self._progress = _share(step, total)

    def _set_epoch(self, epoch: float) -> None:
        self._epoch = epoch
        if self._total_epochs:
            self._progress = _share(epoch, self._total_epochs)

    def _at_step_of_epoch(self, epochs_done: int, step: int, steps: int) -> None:
        if not steps or epochs_done < 0:
            return
        self._step, self._eta = epochs_done * steps + step, None
        self._total_steps = self._total_epochs * steps if self._total_epochs else None
        self._set_epoch(round(epochs_done + _share(step, steps), 6))

    def _at_share_of_epoch(self, epochs_done: int, rows: int, all_rows: int) -> None:
        if all_rows and epochs_done >= 0:
            self._set_epoch(round(epochs_done + _share(rows, all_rows), 6))


def _training_bar(text: str) -> re.Match[str] | None:
    """The line's progress bar if it is the training's own; one that counts files is not."""
    for bar in _BAR.finditer(text):
        before = re.split(r"[|}\]]", text[max(0, bar.start() - 80) : bar.start()])[-1]
        label = before.strip(" :#").rpartition(":")[2].strip()
        if not any(each.isalpha() for each in label) or _TRAINING_BARS.match(label):
            return bar
    return None


def _number(text: str, *, is_percent: bool = False) -> float | None:
    value = float(text.replace(",", ""))
    if not math.isfinite(value):
        return None
    return value / 100 if is_percent else value


def _share(part: float, whole: float) -> float:
    return min(1.0, round(part / whole, 6))


def _seconds(clock: str) -> float | None:
    """Seconds of tqdm's ``1:02:03``; None for ``?``."""
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or len(parts) > 3:
        return None
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return float(total)

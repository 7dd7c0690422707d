"""How much memory a training takes, predicted from the model's shape and its largest batch.

Per process, in bytes, with b bytes a number (4 for float32, 2 for bfloat16):

- weights: b for each, or 4.127 / 8 for those of linear layers in 4 bits (QLoRA's NF4 with doubly
  quantised scales, arXiv 2305.14314, section 3);
- adapter: rank · (inputs + outputs) numbers a layer, 16 bytes each: weight, gradient and AdamW's
  two moments in float32;
- kept for the way back, for each token (padding too): `KEPT` numbers for each input and output of
  a linear layer, which also stands for what lies between (normalisation, rotation, attention's
  copies), as Korthikanti et al. count them (arXiv 2205.05198, section 4.1, without the attention
  matrix, which fused attention does not keep); in bfloat16 also each adapter's input in float32, as
  PEFT casts it. With checkpointing: the input of each layer, and one layer whole;
- output head: for each answer token a float32 of the vocabulary for the logits, their softmax and
  their gradient, and the logits once more in the model's own format;
- the process itself: what it holds once the libraries are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from academy.basemodels.shape import ModelShape
from academy.recipes.recipe import Recipe

#: A CPU computes no faster with more tokens at once than this, and holds up to 2.5 MB for each.
CPU_TOKENS_AT_ONCE = 1024
#: Numbers kept for each input and output of a linear layer. Fitted to random Llama models of 4, 22
#: and 90 million parameters and to SmolLM2 of 135 million, with rows in one line: predicted over
#: measured 1.00 to 1.06, in bfloat16 to 1.06, with checkpointing 0.85 to 1.02.
KEPT = 1.3
#: Where PEFT computes the layers itself, as `academy.trainer.model.lora_linear` takes plain ones
#: only, each of its operations keeps its own; fitted alike, with padded rows: 0.98 to 1.04.
KEPT_BY_PEFT = 2.0
#: What a process on Linux x86-64 holds with torch, transformers and peft loaded, before the model.
LIBRARIES_BYTES = 390 << 20
#: What it takes beyond that once it computes: threads, kernels, the optimizer's own imports.
COMPUTING_BYTES = 100 << 20
#: CUDA's context with its kernels, which torch's own figures leave out; a guess, never measured.
CUDA_BYTES = 600 << 20
_FOUR_BIT = 4.127 / 8


@dataclass(frozen=True)
class LargestBatch:
    """The batch that decides: `tokens` with padding, `answers` that go through the output head."""

    tokens: int
    answers: int

    @classmethod
    def of(cls, recipe: Recipe, lengths: Sequence[int], answers: Sequence[int]) -> LargestBatch:
        """The largest that the plan may cut, from each row's tokens and answer tokens.

        On a CPU rows lie in one line, which is as full as rows of other lengths may make it.
        """
        longest = max(lengths)
        most = sorted(answers, reverse=True)[: recipe.batch_size]
        if recipe.device == "cpu":
            rows = sorted(lengths, reverse=True)[: recipe.batch_size]
            tokens = max(longest, min(CPU_TOKENS_AT_ONCE, sum(rows)))
        else:
            tokens = longest * min(recipe.batch_size, len(lengths))
        return cls(tokens=tokens, answers=min(tokens, sum(most)))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by part; `total` is their sum."""

    weights: int
    adapter: int
    activations: int
    head: int
    process: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapter + self.activations + self.head + self.process

    def as_dict(self) -> dict[str, int]:
        """The parts and their sum as JSON."""
        return {**asdict(self), "total": self.total}


def estimate_memory(
    shape: ModelShape, recipe: Recipe, batch: LargestBatch, process_bytes: int | None = None
) -> MemoryEstimate:
    """The memory of a training by `recipe`, which has no "auto" left.

    `process_bytes` is what a process on the CPU holds before the model is loaded, if it is known.
    """
    width = 2 if recipe.dtype == "bfloat16" else 4
    in_linears = sum(inputs * outputs for _, inputs, outputs in shape.linears)
    other = shape.parameters - in_linears
    weights = in_linears * (_FOUR_BIT if recipe.load_in_4bit else width) + other * width
    if recipe.shard_model:
        weights /= recipe.processes
    adapted = shape.adapted(recipe.target_modules)
    adapter = sum(recipe.lora_rank * (inputs + outputs) for _, inputs, outputs in adapted)
    ends = sum(inputs + outputs for _, inputs, outputs in shape.linears)
    is_plain = not (recipe.lora_dropout or recipe.use_dora or recipe.load_in_4bit)
    kept = (KEPT if is_plain else KEPT_BY_PEFT) * ends * width
    if width == 2:
        kept += 4 * sum(inputs for _, inputs, _ in adapted)
    if recipe.gradient_checkpointing:
        kept = kept / max(1, shape.layers) + shape.layers * shape.hidden * width
    head = batch.answers * shape.vocabulary * (12 + (2 if width == 2 else 0))
    if recipe.device == "cuda":
        process = CUDA_BYTES
    else:
        process = (process_bytes or LIBRARIES_BYTES) + COMPUTING_BYTES
    return MemoryEstimate(
        weights=round(weights),
        adapter=16 * adapter,
        activations=round(kept * batch.tokens),
        head=head,
        process=process,
    )


def ladder(recipe: Recipe, *, four_bit: bool) -> Iterator[tuple[str, Recipe]]:
    """The recipe and then ever thriftier ones that learn the same, each with what was changed.

    Rows a step stay as they are: first smaller batches with more accumulation, then gradient
    checkpointing, then, where the machine can, the base model in 4 bits.
    """
    yield "as asked", recipe
    while recipe.batch_size > 1:
        smaller = max(each for each in range(1, recipe.batch_size) if not recipe.batch_size % each)
        more = recipe.gradient_accumulation * recipe.batch_size // smaller
        recipe = recipe.model_copy(update={"batch_size": smaller, "gradient_accumulation": more})
        yield f"batch_size {smaller} with gradient_accumulation {more}", recipe
    if not recipe.gradient_checkpointing:
        recipe = recipe.model_copy(update={"gradient_checkpointing": True})
        yield "gradient_checkpointing", recipe
    if four_bit and not recipe.load_in_4bit and not recipe.shard_model:
        recipe = recipe.model_copy(update={"load_in_4bit": True})
        yield "load_in_4bit", recipe

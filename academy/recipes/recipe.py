"""The recipe of a training: every knob, its range, and what "auto" stands for.

A `Recipe` is what a client asks for; `Recipe.resolved` turns each "auto" into the value that is
used, given the rows and the hardware. Standard library and pydantic only, as the API publishes
this class as its schema.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from academy.errors import AcademyError
from academy.recipes.presets import Preset, filled

Auto = Literal["auto"]
ModuleName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.\-]+$")]


class RecipeImpossible(AcademyError):
    """The recipe cannot be carried out on this machine: {detail}."""

    code = "bad_spec"
    status = 422
    next_step = "Change the named field of the recipe, or leave it at 'auto'."


@dataclass(frozen=True)
class Hardware:
    """What a machine offers to a training; `Recipe.resolved` chooses by it."""

    device: Literal["cpu", "cuda"]
    bf16: bool  # the device multiplies bfloat16 matrices in hardware
    four_bit: bool = False  # bitsandbytes can quantise for this device
    unsloth: bool = False  # Unsloth is installed, which wants a CUDA GPU
    gpus: int = 1  # CUDA GPUs that this process may use


class Recipe(BaseModel):
    """How to fine-tune. Unknown fields, wrong types and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    preset: Preset = Field(
        default="default",
        description="Where the fields that are left out start from: 'small' to try things out, "
        "'default', or 'quality' when the adapter matters more than the time.",
    )
    method: Literal["sft", "dpo"] = Field(
        default="sft",
        description="'sft' learns the answers of conversations. 'dpo' learns from pairs of a "
        "chosen and a rejected answer; it wants a tenth of the learning rate.",
    )
    dpo_beta: float = Field(
        default=0.1,
        gt=0,
        le=10,
        description="How strongly DPO holds to the model that it starts from; above 10 nothing "
        "moves.",
    )
    dpo_label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="Share of pairs taken to be the wrong way round (cDPO); at a half they would "
        "say nothing.",
    )
    init_adapter: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Adapter to go on from, by its id; it must have this recipe's rank and "
        "layers. Left out: a fresh one.",
    )

    lora_rank: int = Field(
        default=16,
        ge=1,
        le=512,
        description="Rank of the LoRA update. Above 512 it is hardly smaller than the layers.",
    )
    lora_alpha: Auto | Annotated[float, Field(gt=0, le=2048)] = Field(
        default="auto",
        description="Scale of the update, alpha / rank. 'auto' is twice the rank; far above that "
        "the first steps destroy what the model knows.",
    )
    lora_dropout: float = Field(
        default=0.0,
        ge=0,
        le=0.9,
        description="Share of the adapter's inputs dropped while training.",
    )
    target_modules: (
        Literal["all-linear"]
        | Annotated[tuple[ModuleName, ...], Field(min_length=1, max_length=64, strict=False)]
    ) = Field(
        default="all-linear",
        description="Layers that get an adapter: all linear ones but the output head, or names.",
    )
    use_dora: bool = Field(
        default=False,
        description="Learn magnitude and direction apart (DoRA); slower, often better.",
    )
    use_rslora: bool = Field(
        default=False,
        description="Scale by alpha / sqrt(rank) (rsLoRA); keeps high ranks stable.",
    )

    learning_rate: float = Field(
        default=2e-4,
        gt=0,
        le=0.1,
        description="Peak step size of AdamW. LoRA wants 5e-5 to 1e-3; above 0.1 all diverges.",
    )
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field(
        default="cosine",
        description="How the learning rate falls after the warm-up.",
    )
    warmup_ratio: float = Field(
        default=0.03,
        ge=0,
        le=0.5,
        description="Share of the steps over which the learning rate rises.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="AdamW's decay of the adapter's weights per unit of step size.",
    )
    max_grad_norm: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="Gradients longer than this are shortened to it.",
    )

    num_epochs: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Passes over the rows. Past 100 a row is learnt by heart.",
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Stop after so many steps, if the epochs last longer.",
    )
    batch_size: int = Field(
        default=4,
        ge=1,
        le=1024,
        description="Most rows that go through the model at once; bounds the memory.",
    )
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Batches per optimizer step; the same step as with one large batch.",
    )
    max_seq_length: int = Field(
        default=2048,
        ge=16,
        le=131_072,
        description="Longest row in tokens. A longer row's prompt is cut, its answer never; below "
        "16 a chat template alone does not fit.",
    )
    group_by_length: bool = Field(
        default=True,
        description="Put rows of like length into one batch, which saves padding.",
    )
    packing: bool = Field(
        default=False,
        description="Lay the rows of a batch behind each other instead of padding them; each row "
        "still sees itself only. On a CPU it is done anyway; it pays on GPUs where lengths "
        "differ widely.",
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=2**32 - 1,
        description="Decides initial weights, order of rows and dropout.",
    )

    gradient_checkpointing: Auto | bool = Field(
        default="auto",
        description="Trade a third more time for memory. 'auto' is on for GPUs only.",
    )
    neftune_noise_alpha: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Strength of noise on the embeddings (NEFTune); often 5.",
    )
    load_in_4bit: Auto | bool = Field(
        default="auto",
        description="Hold the base model in 4 bits, on GPUs (QLoRA); 'auto' if possible.",
    )
    dtype: Auto | Literal["float32", "bfloat16"] = Field(
        default="auto",
        description="Number format of the base model. 'auto' is bfloat16 where the device has "
        "instructions for it, since without them it is up to a hundred times slower.",
    )
    device: Auto | Literal["cpu", "cuda"] = Field(
        default="auto",
        description="Where to train. 'auto' takes a GPU if there is one.",
    )
    gpus: int = Field(
        default=1,
        ge=1,
        le=64,
        description="GPUs of each host to train on together, a process for each, all or none. On a "
        "worker without GPUs as many processes share its CPU.",
    )
    hosts: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Hosts to train on together, each with so many `gpus`, all or none. Past 64 a "
        "step's rows are fewer than its processes for most recipes.",
    )
    shard_model: bool = Field(
        default=False,
        description="Split the base model over the processes (FSDP) instead of holding all of it "
        "in each; for models that do not fit, and slower.",
    )
    backend: Auto | Literal["peft", "unsloth"] = Field(
        default="auto",
        description="What computes the layers. 'auto' is Unsloth on one CUDA GPU where it is "
        "installed and can do what the recipe asks, else PEFT.",
    )

    eval_interval_steps: int | None = Field(
        default=None,
        ge=1,
        description="Also evaluate on held-out rows every so many steps; always before and after.",
    )
    max_eval_rows: int = Field(
        default=256,
        ge=2,
        le=100_000,
        description="Held-out rows to evaluate on; the same ones each time.",
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Stop after so many evaluations without a better loss, and keep the best.",
    )
    checkpoint_interval_steps: Auto | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="Steps between checkpoints. 'auto' is a tenth of all, at most 100.",
    )
    log_interval_steps: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Steps between two metrics events.",
    )
    divergence_patience: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Steps in a row with a loss of NaN or infinity after which training stops.",
    )

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, given: Any) -> Any:
        given = filled(given)
        if isinstance(given, dict) and isinstance(given.get("target_modules"), list):
            # Past this function pydantic no longer knows that JSON, which has no tuples, was read.
            given["target_modules"] = tuple(given["target_modules"])
        return given

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.early_stopping_patience is not None and self.eval_interval_steps is None:
            raise ValueError("early_stopping_patience needs eval_interval_steps to be set")
        if self.load_in_4bit is True and self.device == "cpu":
            raise ValueError("load_in_4bit is true, which needs a GPU, but device is 'cpu'")
        if self.shard_model and self.processes == 1:
            raise ValueError("shard_model is true, which needs gpus or hosts to be 2 or more")
        if self.shard_model and self.load_in_4bit is True:
            raise ValueError("shard_model is true, which load_in_4bit does not go with")
        if self.backend == "unsloth" and (why := self._beyond_unsloth()):
            raise ValueError(f"backend is 'unsloth', which {why}")
        return self

    @property
    def alpha(self) -> float:
        """`lora_alpha` as a number."""
        return 2.0 * self.lora_rank if self.lora_alpha == "auto" else self.lora_alpha

    @property
    def processes(self) -> int:
        """The processes that train together, on all hosts."""
        return self.gpus * self.hosts

    @property
    def rows_per_step(self) -> int:
        """Rows of one optimizer step, over all batches and processes."""
        return self.batch_size * self.gradient_accumulation * self.processes

    def total_steps(self, rows: int) -> int:
        """Optimizer steps that a training on so many usable rows takes."""
        steps = self.num_epochs * self.steps_per_epoch(rows)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def steps_per_epoch(self, rows: int) -> int:
        """Optimizer steps in one pass over the rows; the last one may hold fewer rows."""
        return math.ceil(rows / self.rows_per_step)

    def resolved(self, *, rows: int, hardware: Hardware) -> Recipe:
        """This recipe with every "auto" replaced by the value that will be used.

        `rows` counts the usable training rows. Raises `RecipeImpossible` when a field asks for
        what `hardware` does not have.
        """
        device = hardware.device if self.device == "auto" else self.device
        if device == "cuda" and hardware.device != "cuda":
            raise RecipeImpossible(detail="device is 'cuda', but there is no usable CUDA GPU")
        on_gpu = device == "cuda"
        four_bit = self.load_in_4bit
        if on_gpu and self.gpus > hardware.gpus:
            raise RecipeImpossible(
                detail=f"gpus is {self.gpus}, but this process sees {hardware.gpus} of them"
            )
        if self.backend == "unsloth" and not (on_gpu and hardware.unsloth):
            why = "is not installed" if on_gpu else "needs a CUDA GPU"
            raise RecipeImpossible(detail=f"backend is 'unsloth', which {why}")
        fits_unsloth = on_gpu and hardware.unsloth and not self._beyond_unsloth()
        if four_bit == "auto":
            four_bit = on_gpu and hardware.four_bit and not self.shard_model
        if four_bit and not on_gpu:
            raise RecipeImpossible(detail="load_in_4bit is true, which needs a CUDA GPU")
        if four_bit and not hardware.four_bit:
            raise RecipeImpossible(detail="load_in_4bit is true, but bitsandbytes is not installed")
        has_bf16 = hardware.bf16 and device == hardware.device
        if self.dtype == "bfloat16" and not has_bf16:
            raise RecipeImpossible(detail=f"dtype is 'bfloat16', but this {device} lacks bfloat16")
        interval = max(1, min(100, math.ceil(self.total_steps(rows) / 10)))
        auto = {
            "lora_alpha": self.alpha,
            "gradient_checkpointing": on_gpu,
            "load_in_4bit": four_bit,
            "dtype": "bfloat16" if has_bf16 else "float32",
            "device": device,
            "backend": "unsloth" if fits_unsloth else "peft",
            "checkpoint_interval_steps": interval,
        }
        replaced = {name: value for name, value in auto.items() if getattr(self, name) == "auto"}
        return self.model_copy(update=replaced)

    def _beyond_unsloth(self) -> str | None:
        """Why Unsloth cannot carry this recipe out; None if it can."""
        beyond = {
            "runs on one GPU here, but gpus or hosts is more": self.processes > 1,
            "has no kernels for use_dora": self.use_dora,
            "does not keep packed rows apart for packing": self.packing,
        }
        return next((why for why, applies in beyond.items() if applies), None)

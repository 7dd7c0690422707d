"""What a user asks of curation. Light enough for the API to import."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from academy.settings import Settings

DatasetFormat = Literal["alpaca", "sharegpt", "openai", "prompt-completion", "preference"]

#: A path, an id or a filter's name.
_Name = Annotated[str, Field(max_length=4096)]

#: Every filter that `disabled_filters` can name, in the order in which they run.
FILTER_NAMES: tuple[str, ...] = (
    # lessons, conversations and scored runs (academy/curation/filters.py)
    "empty_prompt",
    "short_answer",
    "echoed_prompt",
    "long_row",
    "refusal",
    "low_quality",
    "unsuccessful_task",
    "low_reward",
    "failing_tests",
    "undecided_run",
    # commits, by their message (academy/curation/git/filters.py)
    "merge",
    "shallow_boundary",
    "bot",
    "revert",
    "work_in_progress",
    "version_only",
    "trivial_subject",
    "short_subject",
    "long_subject",
    "foreign_script",
    # commits, by their change
    "oversized_change",
    "empty_change",
    "many_files",
    "binary_only",
    "generated_only",
    "undecodable",
    "long_diff",
    # across rows
    "exact_duplicate",
    "near_duplicate",
    "heldout_overlap",
)


class CurationRequest(BaseModel):
    """A dataset to be made: which sources, how much of each, and by which rules."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    lessons_limit: int = Field(
        default=200, ge=0, le=1_000_000, description="newest lessons to read"
    )
    git_commits_limit: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="newest commits to keep from each repository, counted after the git filters "
        "and before de-duplication",
    )
    format: DatasetFormat = Field(
        default="alpaca",
        description="format of dataset.jsonl; 'preference' pairs accepted and rejected runs on one "
        "prompt, for DPO, and reads no lessons, conversations or git history",
    )
    repositories: tuple[_Name, ...] | None = Field(
        default=None,
        max_length=100,
        description="paths of git repositories inside the allowed roots; left out: every allowed "
        "root that is a repository itself; an empty list: no git history",
    )
    include_task_history: bool = Field(
        default=False, description="also use conversations that ended well"
    )
    tasks_limit: int = Field(
        default=200, ge=0, le=1_000_000, description="newest conversations to read"
    )
    include_runs: bool = Field(default=False, description="also use scored runs")
    runs_limit: int = Field(
        default=200, ge=0, le=1_000_000, description="newest scored runs to read"
    )
    min_reward: float = Field(default=0.7, ge=0, le=1, description="reward that a run needs")
    uploads: tuple[_Name, ...] = Field(
        default=(),
        max_length=100,
        description="files to read as well, by the upload_id that POST /datasets/upload gave",
    )
    base_model: str | None = Field(
        default=None, max_length=200, description="base model whose tokenizer counts tokens"
    )
    heldout_fraction: float = Field(
        default=0.2,
        ge=0,
        le=0.9,
        validation_alias=AliasChoices("heldout_fraction", "split"),
        description="share of each source held out for evaluation",
    )
    git_example: Literal["message", "change"] = Field(
        default="message", description="diff to commit message, or message and file names to diff"
    )
    commit_message: Literal["subject", "full"] = Field(
        default="subject",
        description="the first line of the message, or all of it without trailers",
    )
    min_answer_chars: int = Field(
        default=3, ge=1, le=10_000, description="shortest answer, in characters"
    )
    max_row_chars: int = Field(
        default=20_000,
        ge=100,
        le=1_000_000,
        description="longest lesson or conversation, in characters",
    )
    max_diff_chars: int = Field(
        default=4_000, ge=100, le=200_000, description="longest diff, in characters"
    )
    max_files: int = Field(default=20, ge=1, le=10_000, description="files a commit may change")
    min_quality: float = Field(
        default=0.3, ge=0, le=1, description="quality that a judged lesson needs"
    )
    disabled_filters: tuple[_Name, ...] = Field(
        default=(), max_length=100, description="filters to switch off, by name"
    )
    near_duplicate_jaccard: float = Field(
        default=0.8, ge=0.5, le=1.0, description="similarity from which a row is a near duplicate"
    )
    secrets: Literal["redact", "drop"] = Field(
        default="redact", description="replace a secret by its kind, or drop its row"
    )
    mask_emails: bool = Field(default=True, description="mask e-mail addresses and author names")
    seed: int = Field(
        default=0, ge=0, le=2**63 - 1, description="seed of the split and of the samples"
    )

    @model_validator(mode="after")
    def _filters_exist(self) -> Self:
        unknown = sorted(set(self.disabled_filters) - set(FILTER_NAMES))
        if unknown:
            raise ValueError(
                f"disabled_filters names {', '.join(map(repr, unknown))}, but the filters are "
                f"{', '.join(FILTER_NAMES)}"
            )
        return self

    @model_validator(mode="after")
    def _pairs_come_from_runs(self) -> Self:
        if self.makes_pairs and (self.repositories or self.include_task_history):
            asked = "repositories" if self.repositories else "include_task_history"
            raise ValueError(
                f"the format 'preference' needs rejected answers, and {asked} gives none: leave it "
                "out, or choose another format"
            )
        return self

    def with_defaults(self, settings: Settings) -> CurationRequest:
        """This request with what the settings say of the limits that it does not name."""
        defaults = {
            "lessons_limit": settings.curation.max_lessons,
            "git_commits_limit": settings.curation.git_commits_limit,
        }
        left_out = {k: v for k, v in defaults.items() if k not in self.model_fields_set}
        return self.model_copy(update=left_out)

    @property
    def makes_pairs(self) -> bool:
        """Whether each row is a preference pair; then runs are the only source but uploads."""
        return self.format == "preference"

    def uses(self, name: str) -> bool:
        """Whether the filter `name` is switched on."""
        return name not in self.disabled_filters

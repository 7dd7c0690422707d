"""What a client asks of a training: a recipe, and what to train on what."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from academy.recipes.recipe import Recipe
from academy.settings import Settings
from academy.training.launch import Launch

#: The fields of a request that are not the recipe's.
_AROUND = {"dataset_id", "base_model", "role", "priority", "name", *Launch.model_fields}


class TrainingRequest(Recipe, Launch):
    """A recipe with its dataset, base model and launcher; what is unknown or NaN is refused."""

    dataset_id: str | None = Field(
        None, max_length=200, description="Dataset to train on; left out: the newest one."
    )
    base_model: str | None = Field(
        None, max_length=200, description="Model to fine-tune; left out: the configured one."
    )
    role: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_-]{0,62}$",
        description="Group of the adapter, such as 'coder'; usable as an alias.",
    )
    priority: int = Field(
        0, ge=-100, le=100, description="Jobs with a higher priority are claimed first."
    )
    name: str | None = Field(None, max_length=200, description="A name for people.")

    def defaults(self, settings: Settings) -> dict[str, Any]:
        """What the settings say of the fields that neither the request nor its preset names."""
        values = {
            "lora_rank": settings.training.lora_rank,
            "learning_rate": settings.training.learning_rate,
            "num_epochs": settings.training.num_epochs,
        }
        return {name: value for name, value in values.items() if name not in self.model_fields_set}

    def with_defaults(self, settings: Settings) -> TrainingRequest:
        """This request with its `defaults` filled in."""
        return self.model_copy(update=self.defaults(settings))

    def recipe(self) -> Recipe:
        """The part that the trainer gets."""
        return Recipe.model_validate(self.model_dump(exclude=_AROUND))

    def launch(self) -> Launch:
        """The part that the launcher gets."""
        return Launch.model_validate(self.model_dump(include=set(Launch.model_fields)))

    def parameters(self) -> dict[str, Any]:
        """The recipe's fields as JSON, stored with the job."""
        return self.recipe().model_dump(mode="json")

from pathlib import Path

import pytest

from academy.trainer.tiny import make_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model with every file of a real one, made on the spot."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")

from pathlib import Path

import pytest

from academy.basemodels import folders
from academy.errors import BaseModelUnavailable


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_model_is_found_by_name_by_organisation_and_by_absolute_path(tmp_path: Path) -> None:
    plain = make_model(tmp_path / "b" / "plain")
    nested = make_model(tmp_path / "b" / "org" / "model")
    places = [tmp_path / "a", tmp_path / "b"]
    assert folders.find("plain", places) == folders.ModelFolder("plain", plain)
    assert folders.find("org/model", places).path == nested
    assert folders.find(str(nested), places).name == "org/model"
    assert [each.name for each in folders.available(places)] == ["org/model", "plain"]


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../outside", "link", "plain/..", "absent"])
def test_a_name_that_leaves_the_folders_is_refused_with_the_places_looked_in(
    tmp_path: Path, name: str
) -> None:
    models = tmp_path / "models"
    make_model(models / "plain")
    outside = make_model(tmp_path / "outside")
    (models / "link").symlink_to(outside)
    for asked in (name, str(outside)):
        with pytest.raises(BaseModelUnavailable) as caught:
            folders.find(asked, [models])
        assert str(models) in str(caught.value)
    assert [each.name for each in folders.available([models])] == ["plain"]


def test_the_digest_follows_the_content_and_is_cached_beside_the_model(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    first = folders.digest(model)
    assert first.startswith("sha256:")
    assert (tmp_path / ".model.digest.json").is_file()
    assert folders.digest(model) == first
    (model / "model.safetensors").write_bytes(b"other")
    assert folders.digest(model) != first
    (tmp_path / ".model.digest.json").write_text("damaged")
    (model / "model.safetensors").write_bytes(b"weights")
    assert folders.digest(model) == first


def test_equal_models_in_different_folders_have_the_same_digest(tmp_path: Path) -> None:
    assert folders.digest(make_model(tmp_path / "one")) == folders.digest(
        make_model(tmp_path / "two")
    )

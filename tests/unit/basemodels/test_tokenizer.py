"""Our reading of a model's tokenizer and chat template is that of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from academy.basemodels.tokenizer import ChatTokenizer, NoChatTokenizer
from academy.trainer.tiny import make_tiny_model

TEMPLATE = """\
{{ bos_token }}{% for message in messages %}
    {% if message.role == 'system' %}{% continue %}{% endif %}
    {% generation %}{{ message | tojson }}{% endgeneration %}
{% endfor %}
{%- if messages | length > 3 %}{{ raise_exception('too many') }}{% endif -%}
{{ tools is none }} {{ add_generation_prompt }}
"""
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=30)}
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model with a plain template, and one whose template uses all that templates may."""
    plain = make_tiny_model(tmp_path_factory.mktemp("models") / "plain")
    rich = make_tiny_model(tmp_path_factory.mktemp("models") / "rich")
    (rich / "chat_template.jinja").write_text(TEMPLATE)
    return [plain, rich]


@pytest.fixture(scope="module")
def tokenizers(models: list[Path]) -> list[Any]:
    """Our reading of each model's files, and that of transformers."""
    from transformers import AutoTokenizer  # seconds: not while tests are collected

    return [(ChatTokenizer(each), AutoTokenizer.from_pretrained(each)) for each in models]


@given(messages=_MESSAGES, prompt=st.booleans())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
def test_texts_and_tokens_are_the_same(tokenizers: list[Any], messages, prompt: bool) -> None:
    for ours, theirs in tokenizers:
        assert ours.all_special_ids == sorted(theirs.all_special_ids)
        assert ours.eos_token_id == theirs.eos_token_id
        try:
            text = theirs.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=prompt
            )
        except TemplateError:
            with pytest.raises(TemplateError, match="too many"):
                ours.apply_chat_template(messages, add_generation_prompt=prompt)
            continue
        assert ours.apply_chat_template(messages, add_generation_prompt=prompt) == text
        tokens = ours(text)["input_ids"]
        assert tokens == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(tokens) == theirs.decode(tokens)


def test_the_template_may_be_in_the_configuration(models: list[Path], tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((models[0] / name).read_bytes())
    with pytest.raises(NoChatTokenizer, match="no chat template"):
        ChatTokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "{{ 1 }}"}]
    for template, text in (("{{ 2 }}", "2"), (named, "1")):
        config["chat_template"] = template
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert ChatTokenizer(tmp_path).apply_chat_template([]) == text


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoChatTokenizer, match=tmp_path.name):
        ChatTokenizer(tmp_path)


def test_a_template_can_do_nothing_but_write(models: list[Path], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((models[0] / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    with pytest.raises(TemplateError):
        ChatTokenizer(tmp_path).apply_chat_template([])

"""The registry of kinds covers every backend, form and loader."""

from __future__ import annotations

import inspect

import pytest

from kit.models.architectures.early_exit import EarlyExitConfig
from kit.models.backends.backend import Backend
from kit.models.checkpoints.config_file import EARLY_EXIT_TYPE
from kit.models.kinds import KINDS, CardExample, Form, kind_of
from kit.publishing import standalone_check

ARGUMENTS = {"prefix": "", "target": False, "first": None, "suppress": []}


def test_every_backend_and_form_has_a_kind() -> None:
    assert {kind.backend for kind in KINDS.values()} == set(Backend)
    assert {form for kind in KINDS.values() for form in kind.forms} == set(Form)


@pytest.mark.parametrize("name", KINDS)
def test_kinds_have_a_loader_without_kit_and_an_example(name: str) -> None:
    assert f'"{name}": _' in inspect.getsource(standalone_check.main)
    card = CardExample("name", 'folder = "name"', ARGUMENTS, ("a", "b"), 16, reads_pairs=False, multi_label=False)
    compile(KINDS[name].example(card), name, "exec")


@pytest.mark.parametrize("name", KINDS)
def test_forms_lead_back_to_their_kind(name: str) -> None:
    kind = KINDS[name]
    assert all(kind_of(form, kind.translates) is kind for form in kind.forms)


def test_early_exits_are_recognized_by_their_type() -> None:
    assert EarlyExitConfig.model_type == EARLY_EXIT_TYPE

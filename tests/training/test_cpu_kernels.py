"""Dropout on a CPU: rate, independence, coverage of all functions. Attention: same results as torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kit.training import cpu_kernels
from kit.training.cpu_kernels import CpuKernels, dropped


@pytest.mark.parametrize(("rate", "level"), [(0.1, 26), (0.5, 128), (0.9, 230)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_dropout_follows_the_rate_and_scales_kept_elements(rate, level, kind) -> None:
    torch.manual_seed(0)
    tensor = torch.ones(301, 333, dtype=kind, requires_grad=True)  # not a multiple of eight
    output = dropped(tensor, rate)
    zeros, chance, count = int((output == 0).sum()), level / 256, tensor.numel()
    assert abs(zeros - chance * count) < 5 * (count * chance * (1 - chance)) ** 0.5
    assert (output[output != 0] == torch.tensor(1 / (1 - chance)).to(kind)).all()
    output.backward(torch.full_like(output, 3.0))
    assert tensor.grad is not None
    assert torch.equal(tensor.grad == 0, output == 0)
    torch.testing.assert_close(tensor.grad, 3 * output.detach(), rtol=0.01, atol=0)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (dropped(torch.ones(100_000), 0.5) != 0).float()
    for distance in (1, 2, 7, 8, 64):
        both = float((kept[distance:] * kept[:-distance]).mean())
        assert both == pytest.approx(0.25, abs=0.01)


def test_rates_zero_and_one() -> None:
    tensor = torch.ones(10)
    assert torch.equal(dropped(tensor, 0.0), tensor)
    assert torch.equal(dropped(tensor, 1.0), torch.zeros(10))


def test_modules_and_functions_use_kit_dropout_within_the_context(monkeypatch) -> None:
    rates = []
    original = dropped
    monkeypatch.setattr(cpu_kernels, "dropped", lambda tensor, rate: rates.append(rate) or original(tensor, rate))
    layer, ones = nn.Dropout(0.25), torch.ones(4, 100)
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        with CpuKernels():
            runs.append([layer(ones), nn.functional.dropout(ones, p=0.5), nn.functional.dropout(ones, 0.5, False)])
    assert rates == [0.25, 0.5] * 2
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)
    assert torch.equal(runs[0][2], ones)
    with CpuKernels():
        assert torch.equal(layer.eval()(ones), ones)
    layer.train()(ones)
    assert len(rates) == 4  # outside the context, torch's dropout


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}, {"mask": bool}, {"mask": float}])
@pytest.mark.parametrize("groups", [1, 2])
def test_plain_attention_equals_torch_attention_without_dropout(options, groups, monkeypatch) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 5, 8, requires_grad=True) for heads in (4, 4 // groups, 4 // groups))
    options = dict(options)
    if kind := options.pop("mask", None):
        mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()[:, None, None, :]
        options["attn_mask"] = mask if kind is bool else torch.zeros(2, 1, 1, 5).masked_fill(~mask, -1e4)
    rates = []
    monkeypatch.setattr(cpu_kernels, "dropped", lambda tensor, rate: rates.append(rate) or tensor)
    monkeypatch.setattr(cpu_kernels, "_MAX_KEYS", {})
    attend = nn.functional.scaled_dot_product_attention
    gqa = {"enable_gqa": groups > 1}
    expected = attend(query, key, value, dropout_p=0.0, **options, **gqa)
    with CpuKernels():
        assert torch.equal(attend(query, key, value, dropout_p=0.0, **options, **gqa), expected)
        assert rates == []
        ours = attend(query, key, value, dropout_p=0.1, **options, **gqa)
    assert rates == [0.1]
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    theirs = torch.autograd.grad(expected.square().sum(), (query, key, value))
    for mine, other in zip(torch.autograd.grad(ours.square().sum(), (query, key, value)), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_plain_attention_is_used_for_training_on_short_texts(monkeypatch) -> None:
    torch.manual_seed(0)
    plain = []
    original = cpu_kernels._plain_attention
    monkeypatch.setattr(
        cpu_kernels, "_plain_attention", lambda *args, **options: plain.append(1) or original(*args, **options)
    )
    attend, mask = nn.functional.scaled_dot_product_attention, (torch.arange(20) < 17)[None]

    def results(kind: torch.dtype, length: int = 20, learns: bool = True) -> list[torch.Tensor]:
        parts = [part.to(kind).requires_grad_(learns) for part in torch.randn(3, 2, 4, length, 8).unbind()]
        output = attend(*parts, attn_mask=mask if length == 20 else None)
        return [output, *torch.autograd.grad(output.float().square().sum(), parts)] if learns else [output]

    torch.manual_seed(1)
    exact = results(torch.float32)
    torch.manual_seed(1)
    with CpuKernels():
        ours = results(torch.bfloat16)
        assert plain == [1]
        for mine, other in zip(ours, exact, strict=True):
            assert mine.dtype == torch.bfloat16
            assert float((mine.float() - other).norm() / other.norm()) < 0.01
        for kind, long in ((torch.bfloat16, 300), (torch.float32, 65)):
            results(kind, long), results(kind, learns=False)
        results(torch.float64)
        assert plain == [1]
        results(torch.float32)
        assert plain == [1, 1]


class Draws(TorchDispatchMode):
    """Count the calls of torch's dropout and of kit's."""

    def __init__(self) -> None:
        super().__init__()
        self.torch_draws = self.kit_draws = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.torch_draws += func in (torch.ops.aten.bernoulli_.float, torch.ops.aten.native_dropout.default)
        self.kit_draws += func is getattr(torch.ops.aten.random_, "from")
        return func(*args, **(kwargs or {}))


def test_encoders_and_decoders_use_no_torch_dropout() -> None:
    from transformers import BertConfig, BertForSequenceClassification, MarianConfig, MarianMTModel

    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ids = torch.randint(5, 90, (2, 6))
    encoder = BertForSequenceClassification(BertConfig(**shape, vocab_size=100)).train()
    marian = MarianConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=100, pad_token_id=0, decoder_start_token_id=0,
        dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    translator = MarianMTModel(marian).train()
    for model, batch in ((encoder, {}), (translator, {"labels": ids})):
        with Draws() as outside:
            model(input_ids=ids, **batch)
        with CpuKernels(), Draws() as within:
            model(input_ids=ids, **batch)
        assert outside.torch_draws > 5
        assert (within.torch_draws, within.kit_draws) == (0, outside.torch_draws)

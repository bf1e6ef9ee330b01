"""Temperatures against known ones, against the condition for the optimum, and at their bounds; which pixels are sampled."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support import references
from tune_seg.errors import InputError
from tune_seg.temperature import PixelSample, fit_temperature

IGNORE = 255


def calibrated(pixels: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits whose softmax the labels are drawn from; the classes are not equally frequent."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(pixels, classes, generator=generator) - torch.arange(classes)
    target = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return logits, target


def nll(logits: Tensor, target: Tensor) -> float:
    p = references.softmax(logits.double().numpy())
    return float(-np.log(p[np.arange(len(target)), target.numpy()]).mean())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_finds_the_temperature_that_calibrated_logits_were_multiplied_by(temperature: float, device: torch.device) -> None:
    logits, target = calibrated(40_000)
    found = fit_temperature((temperature * logits).to(device), target.to(device))
    assert (found.shape, found.device.type) == ((), device.type)
    assert found.item() == pytest.approx(temperature, rel=0.02)


def test_finds_one_temperature_a_class(device: torch.device) -> None:
    temperatures = torch.tensor([0.5, 1.0, 3.0, 1.5])
    logits, target = calibrated(100_000)
    found = fit_temperature((temperatures * logits).to(device), target.to(device), per_class=True)
    assert found.device.type == device.type
    assert found.tolist() == pytest.approx(temperatures.tolist(), rel=0.05)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.2, 1.0, 4.0]), per_class=st.booleans())
def test_the_gradient_is_zero_at_the_optimum(seed: int, scale: float, per_class: bool) -> None:
    logits, target = calibrated(500, seed=seed)
    logits = scale * logits
    temperature = fit_temperature(logits, target, per_class=per_class)
    p = references.softmax((logits.double() / temperature).numpy())
    # the derivatives by 1/T: the mean logit under the outputs is that of the truth
    gradient = ((p - np.eye(4)[target]) * logits.double().numpy()).mean(axis=0)
    inside = ((temperature > 0.0101) & (temperature < 99.9)).numpy()
    assert np.where(inside, gradient if per_class else gradient.sum(), 0.0) == pytest.approx(0.0, abs=1e-6 * scale)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    pixels=st.integers(1, 60),
    spread=st.sampled_from([0.0, 0.1, 3.0, 1e4]),
    per_class=st.booleans(),
)
def test_is_never_worse_than_the_logits_as_they_are(seed: int, pixels: int, spread: float, per_class: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(pixels, 3, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (pixels,), generator=generator)
    temperature = fit_temperature(logits, target, per_class=per_class)
    assert bool(((temperature >= 0.0099) & (temperature <= 100.1)).all())

    def likelihood(scores: Tensor) -> float:
        return torch.nn.functional.cross_entropy(scores, target).item()

    assert likelihood(logits / temperature) <= likelihood(logits) + 1e-12


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([0.25, 3.0, 20.0]), per_class=st.booleans())
def test_logits_that_are_multiplied_have_multiplied_temperatures(seed: int, factor: float, per_class: bool) -> None:
    logits, target = calibrated(2000, seed=seed)
    one = fit_temperature(logits, target, per_class=per_class)
    other = fit_temperature(factor * logits, target, per_class=per_class)
    torch.testing.assert_close(other, factor * one, rtol=1e-4, atol=0.0)


def test_stays_within_its_bounds_where_the_likelihood_has_no_optimum() -> None:
    target = torch.arange(3).repeat(10)
    right = torch.nn.functional.one_hot(target, 3).float()
    for logits in (0.01 * right, right, 1e4 * right):
        sharpened = fit_temperature(logits, target)
        assert 0.0099 <= sharpened.item() <= 1.0
        assert nll(logits / sharpened, target) <= nll(logits, target)
    for per_class in (False, True):
        assert fit_temperature(-right, target, per_class=per_class).numpy() == pytest.approx(100.0)


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.5, 2.0])
def test_a_search_that_has_met_the_optimum_exactly_ends_there(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, exp_ = [], Tensor.exp_

    def counted(values: Tensor) -> Tensor:
        steps.append(values.shape)
        return exp_(values)

    monkeypatch.setattr(Tensor, "exp_", counted)
    logits = scale * torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64).expand(4, 2)
    found = fit_temperature(logits, torch.tensor([0, 0, 0, 1])).item()  # 3 of 4 are right
    assert found == pytest.approx(scale, rel=1e-9)
    assert 1 <= len(steps) <= 8


def test_half_precision_logits_are_fitted_as_they_are() -> None:
    logits, target = calibrated(5000)
    logits = (2 * logits).to(torch.bfloat16)
    assert fit_temperature(logits, target).item() == fit_temperature(logits.double(), target).item()


@pytest.mark.parametrize("per_class", [False, True])
def test_ignored_pixels_count_nowhere(per_class: bool) -> None:
    logits, target = calibrated(1000)
    expected = fit_temperature(logits[:700], target[:700], per_class=per_class)
    logits[700:] *= -50
    target[700:] = IGNORE
    assert torch.equal(fit_temperature(logits, target, per_class=per_class), expected)


@pytest.mark.parametrize("pixels", [0, 5])
def test_without_a_valid_pixel_it_is_one(pixels: int, device: torch.device) -> None:
    logits = torch.randn(pixels, 3, device=device)
    target = torch.full((pixels,), IGNORE, device=device)
    assert fit_temperature(logits, target).item() == 1.0
    assert fit_temperature(logits, target, per_class=True).tolist() == [1.0] * 3


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_logits_stay_as_they_are(dtype: torch.dtype, per_class: bool) -> None:
    logits, target = calibrated(10)
    logits = logits.to(dtype)
    before = logits.clone()
    fit_temperature(logits, target, per_class=per_class)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_have_no_temperature(value: float) -> None:
    logits, target = calibrated(10)
    logits[3, 1] = value
    assert fit_temperature(logits, target).isnan()
    assert fit_temperature(logits, target, per_class=True).isnan().all()


def test_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"\(4, 3\).*\(5,\)"):
        fit_temperature(torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64))


class TestPixelSample:
    def numbered(self, images: int = 3, height: int = 6, width: int = 8) -> tuple[Tensor, Tensor]:
        """Logits (N, 2, H, W) that tell each pixel's number, and its negative."""
        number = torch.arange(images * height * width, dtype=torch.float32).view(images, 1, height, width)
        return torch.cat([number, -number], dim=1), torch.zeros(images, height, width, dtype=torch.int64)

    def take(self, logits: Tensor, target: Tensor, share: float = 0.25, batch: int = 3) -> PixelSample:
        sample = PixelSample(share)
        for start in range(0, len(logits), batch):
            sample.update(logits[start : start + batch], target[start : start + batch])
        return sample

    def test_each_image_gives_its_share_one_pixel_out_of_each_stretch(self, device: torch.device) -> None:
        logits, target = self.numbered()
        sample = self.take(logits.to(device), target.to(device))
        assert sample.pixels()[0].shape == (36, 2)
        taken = sample.pixels()[0][:, 0].view(3, 12).long().cpu()
        assert torch.equal(taken // 4, torch.arange(36).view(3, 12))
        assert torch.equal(sample.pixels()[0][:, 1], -sample.pixels()[0][:, 0])

    def test_an_image_counts_as_much_as_among_all_pixels_and_only_valid_ones_are_taken(self) -> None:
        logits, target = self.numbered()
        target[0] = IGNORE
        target[1, :, 1:] = IGNORE
        target[2, 3] = 1
        sample = self.take(logits, target, share=0.5)
        taken = sample.pixels()[0][:, 0].to(torch.int64)
        assert torch.bincount(taken // 48).tolist() == [0, 3, 24]
        assert torch.equal(sample.pixels()[1], target.flatten()[taken])
        assert (sample.pixels()[1] != IGNORE).all()

    def test_all_valid_pixels_are_a_share_of_one(self) -> None:
        logits, target = self.numbered()
        target[1, 2:] = IGNORE
        expected = (target != IGNORE).flatten().nonzero().squeeze(1)
        assert torch.equal(self.take(logits, target, share=1.0).pixels()[0][:, 0].long(), expected)

    @pytest.mark.parametrize(("height", "width", "share"), [(256, 256, 1 / 512), (224, 224, 1 / 448), (64, 128, 1 / 64)])
    def test_the_pixels_are_not_all_in_a_few_columns(self, height: int, width: int, share: float) -> None:
        logits, target = self.numbered(1, height, width)
        column = self.take(logits, target, share=share).pixels()[0][:, 0].long() % width
        assert torch.histc(column.double(), bins=4, min=0, max=width).min() >= 0.2 * len(column)

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 10**6), share=st.floats(0.01, 1.0), batch=st.integers(1, 3))
    def test_the_batches_do_not_matter_nor_does_the_generator(self, seed: int, share: float, batch: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        logits, target = self.numbered()
        target[torch.rand(target.shape, generator=generator) < 0.4] = IGNORE
        state = torch.get_rng_state()
        sample = self.take(logits, target, share, batch)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(sample.pixels()[0], self.take(logits, target, share).pixels()[0])
        taken = sample.pixels()[0][:, 0].to(torch.int64).tolist()
        for image in range(3):
            valid = ((target[image] != IGNORE).flatten().nonzero().squeeze(1) + 48 * image).tolist()
            places = [valid.index(number) for number in taken if number // 48 == image]
            wanted = math.ceil(len(valid) * share)
            stretches = np.linspace(0, len(valid), wanted + 1)
            assert len(places) == wanted
            assert all(low - 1 < place < high for place, low, high in zip(places, stretches, stretches[1:], strict=False))

    def test_nothing_valid_is_an_empty_sample(self) -> None:
        logits, target = self.numbered()
        sample = self.take(logits, torch.full_like(target, IGNORE))
        assert (sample.pixels()[0].shape, sample.pixels()[1].shape) == ((0, 2), (0,))

    @pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan")])
    def test_refuses(self, share: float) -> None:
        with pytest.raises(InputError, match="share = "):
            PixelSample(share)

import librosa
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from humwatch.detectors.networks.dual_branch import DualBranch, SpectrogramBranch, SpectrumBranch
from humwatch.detectors.networks.heads import (
    ArcFace,
    SubclusterAdaCos,
    draw_mixup,
    feature_exchange,
    mix,
    mixup,
    pitch_shift,
    speed_change,
)
from humwatch.detectors.networks.stgram import LogMel, MobileFaceNet, STgramMFN, Tgram

SHORT = 8000  # half a second: quick


@pytest.fixture
def wave():
    return torch.randn(3, SHORT, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("network, size", [(STgramMFN, 128), (DualBranch, 256)])
def test_ten_second_clips_become_embeddings(network, size):
    torch.manual_seed(0)
    assert network().eval()(torch.randn(1, 160_000) * 0.1).shape == (1, size)


@pytest.mark.parametrize("samples", [8000, 16_000, 33_333])
@pytest.mark.parametrize("network, size", [(STgramMFN, 128), (DualBranch, 256)])
def test_other_lengths_work_when_asked_for_and_are_refused_otherwise(network, size, samples):
    model = network(samples).eval()
    assert model(torch.randn(2, samples)).shape == (2, size)
    with pytest.raises(ValueError, match=f"{samples} samples, got {samples + 1}"):
        model(torch.randn(2, samples + 1))


def test_stgram_has_the_published_number_of_parameters():
    count = sum(p.numel() for model in (STgramMFN(), ArcFace(128, 41)) for p in model.parameters())
    assert count == 1_155_990
    assert count == pytest.approx(1.16e6, rel=0.02)  # Liu et al. 2022, table 1


@pytest.mark.parametrize("network, head", [(STgramMFN, ArcFace(128, 4)), (DualBranch, SubclusterAdaCos(256, 4))])
def test_gradients_reach_every_parameter_and_training_learns_the_batch(network, head):
    torch.manual_seed(0)
    model = network(SHORT)
    wave = torch.randn(4, SHORT) * 0.1
    labels = torch.arange(4)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-3)
    losses = []
    for _ in range(5):
        loss = F.cross_entropy(head(model(wave), labels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        for name, parameter in [*model.named_parameters(), *head.named_parameters()]:
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("network", [STgramMFN, DualBranch])
def test_the_same_seed_gives_the_same_network_and_a_clip_scores_the_same_in_any_batch(network, wave):
    torch.manual_seed(1)
    first = network(SHORT).eval()
    torch.manual_seed(1)
    second = network(SHORT).eval()
    assert torch.equal(first(wave), second(wave))
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second(wave[1:2]), first(wave)[1:2], rtol=1e-4, atol=1e-5)


def test_log_mel_equals_librosa(wave):
    ours = LogMel(16_000, 128)(wave).numpy()
    for clip, image in zip(wave.numpy(), ours, strict=True):
        mel = librosa.feature.melspectrogram(y=clip, sr=16_000, n_fft=1024, hop_length=512, n_mels=128, power=2.0)
        np.testing.assert_allclose(image, 20 / 2.0 * np.log10(mel + np.finfo(float).eps), atol=1e-3)


def test_log_mel_of_silence_is_finite():
    assert LogMel(16_000, 128)(torch.zeros(1, SHORT)).isfinite().all()


def test_tgram_equals_the_paper_written_out_in_numpy(wave, rng):
    tgram = Tgram(filters=6, frames=16)
    with torch.no_grad():
        for parameter in tgram.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.1, parameter.shape)))
    weights = [p.detach().numpy().astype(float) for p in tgram.parameters()]

    padded = np.pad(wave[0].numpy().astype(float), 512)
    frames = np.stack([padded[i * 512 : i * 512 + 1024] for i in range(16)])  # (frames, 1024)
    x = weights[0][:, 0] @ frames.T  # (filters, frames)
    for scale, shift, kernel in zip(weights[1::3], weights[2::3], weights[3::3], strict=True):
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * scale + shift
        x = np.where(x > 0, x, 0.2 * x)
        wide = np.pad(x, [(0, 0), (1, 1)])
        x = sum(kernel[:, :, k] @ wide[:, k : k + 16] for k in range(3))

    np.testing.assert_allclose(tgram(wave[:1])[0].detach().numpy(), x, atol=1e-4)


def test_mobilefacenet_equals_the_table_of_the_paper_written_out(rng):
    network = MobileFaceNet(mels=32, frames=40).eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():  # norms and slopes away from their plain first values
                value.add_(torch.from_numpy(rng.uniform(0, 0.1, value.shape)))
    weights = iter([v for k, v in network.state_dict().items() if "num_batches" not in k])

    def block(x, stride=1, padding=0, groups=1, linear=False):
        x = F.conv2d(x, next(weights), None, stride, padding, 1, groups)
        scale, shift, mean, variance = (next(weights)[:, None, None] for _ in range(4))
        x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        return x if linear else torch.where(x > 0, x, x * next(weights)[:, None, None])

    image = torch.randn(2, 2, 32, 40)
    x = block(block(image, 2, 1), 1, 1, 64)
    for expansion, channels, count, stride in [(2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2)]:
        for i in range(count):
            wide = expansion * x.shape[1]
            y = block(block(block(x), stride if i == 0 else 1, 1, wide), linear=True)
            assert y.shape[1] == channels
            x = x + y if i > 0 else y
    assert x.shape[2:] == (2, 3)
    x = block(block(block(x), groups=512, linear=True), linear=True)

    torch.testing.assert_close(network(image), x.flatten(1), rtol=1e-4, atol=1e-4)


def _squeeze_excite(x, squeeze, excite):
    mean = x.mean(axis=tuple(range(2, x.ndim)))
    weight = 1 / (1 + np.exp(-np.maximum(mean @ squeeze.T, 0) @ excite.T))
    return x * weight.reshape(weight.shape + (1,) * (x.ndim - 2))


def test_spectrum_branch_equals_numpy(wave):
    branch = SpectrumBranch(SHORT // 2 + 1).eval()
    weights = iter([p.detach().numpy().astype(float) for p in branch.parameters()])
    x = np.abs(np.fft.rfft(wave.numpy().astype(float)))[:, None]  # (batch, 1, bins)
    for kernel, stride in [(256, 64), (64, 32), (16, 4)]:
        weight = next(weights)
        padded = np.pad(x, [(0, 0), (0, 0), (kernel // 2, kernel // 2)])
        patches = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=2)[:, :, ::stride]
        x = np.maximum(np.einsum("bcok,dck->bdo", patches, weight), 0)
        x = _squeeze_excite(x, next(weights), next(weights))
    x = x.reshape(len(x), -1)
    for _ in range(4):
        x = np.maximum(x @ next(weights).T / np.sqrt(1 + 1e-5), 0)  # a batch norm that has seen nothing yet
    expected = x @ next(weights).T

    np.testing.assert_allclose(branch(wave).detach().numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_spectrogram_branch_sees_the_frequencies_from_200_hz_up_to_8_khz():
    branch = SpectrogramBranch(16_000).eval()
    assert branch.bins == 500  # 13 * 15.625 = 203.125 Hz to 512 * 15.625 = 8000 Hz
    seconds = torch.arange(SHORT) / 16_000
    low, high = (torch.sin(2 * torch.pi * f * seconds)[None] * torch.hann_window(SHORT) for f in (62.5, 500.0))
    base = torch.randn(1, SHORT, generator=torch.Generator().manual_seed(0))
    change = [(branch(base + tone) - branch(base)).norm().item() for tone in (low, high)]
    assert change[0] < 0.01 * change[1]


def test_spectrogram_branch_equals_functional_calls(wave):
    branch = SpectrogramBranch(16_000).train()
    weights = iter(list(branch.parameters()))
    image = np.stack([np.abs(librosa.stft(clip, n_fft=1024, hop_length=512))[13:] for clip in wave.numpy()])
    image = (image - image.mean((0, 2), keepdims=True)) / np.sqrt(image.var((0, 2), keepdims=True) + 1e-5)

    def norm(x):
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = norm(F.conv2d(torch.from_numpy(image).float()[:, None], next(weights), stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for stride in (1, 1, 2, 1, 2, 1, 2, 1):
        x = norm(x)
        y = norm(F.conv2d(x.relu(), next(weights), stride=stride, padding=1)).relu()
        y = F.conv2d(y, next(weights), padding=1)
        y = y * (y.mean((2, 3)) @ next(weights).T).relu().matmul(next(weights).T).sigmoid()[:, :, None, None]
        x = y + (x if stride == 1 else F.conv2d(F.max_pool2d(x, 3, 2, 1), next(weights)))
    assert x.shape == (3, 128, 16, 1)
    x = x.max(dim=3).values.flatten(1)
    x = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()

    torch.testing.assert_close(branch(wave), x @ next(weights).T, rtol=1e-3, atol=1e-3)


def _angles(embedding, centres):
    """(batch, classes, subclusters) in float64."""
    e = embedding.numpy().astype(float)
    c = centres.detach().numpy().astype(float)
    e, c = e / np.linalg.norm(e, axis=-1, keepdims=True), c / np.linalg.norm(c, axis=-1, keepdims=True)
    return np.arccos(np.einsum("be,cke->bck", e, c))


def test_arcface_adds_the_margin_to_the_angle_of_the_own_class():
    torch.manual_seed(0)
    head = ArcFace(8, 5, margin=0.7, scale=30.0, subclusters=3)
    embedding, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    theta = _angles(embedding, head.centres).min(axis=2)
    np.testing.assert_allclose(head(embedding).detach(), 30 * np.cos(theta), atol=1e-4)

    own = np.eye(5)[labels]
    assert (theta + 0.7 * own < np.pi).all()
    logits = 30 * np.cos(theta + 0.7 * own)
    np.testing.assert_allclose(head(embedding, labels).detach(), logits, atol=1e-4)

    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    own_class = log_softmax[np.arange(6), labels]
    np.testing.assert_allclose(F.cross_entropy(head(embedding, labels), labels).item(), -own_class.mean(), atol=1e-4)


def test_arcface_treats_one_hot_labels_as_class_numbers_and_splits_the_margin_of_mixed_ones():
    torch.manual_seed(0)
    head = ArcFace(8, 3)
    embedding, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(head(embedding, F.one_hot(labels).float()), head(embedding, labels))
    soft = torch.tensor([[0.25, 0.75, 0.0]]).expand(4, 3)
    theta = _angles(embedding, head.centres)[:, :, 0]
    np.testing.assert_allclose(head(embedding, soft).detach(), 30 * np.cos(theta + 0.7 * soft.numpy()), atol=1e-4)


def test_arcface_goes_on_falling_where_the_margin_passes_pi():
    head = ArcFace(2, 2, margin=0.7, scale=1.0)
    theta = torch.linspace(0, torch.pi, 200)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    logit = head(torch.stack([theta.cos(), theta.sin()], dim=1), torch.zeros(200, dtype=torch.int64))[:, 0]
    assert (logit.diff() < 0).all()
    assert logit[-1].item() == pytest.approx(-1 - 0.7 * np.sin(0.7), abs=1e-5)


def test_arcface_gradient_is_finite_where_a_clip_sits_on_its_centre():
    head = ArcFace(4, 2)
    embedding = head.centres[:, 0].detach().clone().requires_grad_()
    F.cross_entropy(head(embedding, torch.arange(2)), torch.arange(2)).backward()
    assert embedding.grad.isfinite().all() and head.centres.grad.isfinite().all()


def test_adacos_sums_the_probability_of_a_class_over_its_centres_at_the_published_scale():
    torch.manual_seed(0)
    head = SubclusterAdaCos(8, 3, subclusters=4)
    embedding = torch.randn(5, 8)
    scale = np.sqrt(2) * np.log(3 * 4 - 1)
    exponential = np.exp(scale * np.cos(_angles(embedding, head.centres)))
    probability = exponential.sum(axis=2) / exponential.sum(axis=(1, 2))[:, None]
    np.testing.assert_allclose(head(embedding).softmax(dim=1).detach(), probability, atol=1e-6)

    soft = torch.tensor([[0.3, 0.7, 0.0]]).expand(5, 3)
    loss = -(soft.numpy() * np.log(probability)).sum(axis=1).mean()
    assert F.cross_entropy(head(embedding, soft), soft).item() == pytest.approx(loss, abs=1e-5)


def test_adacos_centres_can_be_frozen_and_too_few_are_refused():
    assert not SubclusterAdaCos(8, 3, trainable=False).centres.requires_grad
    with pytest.raises(ValueError, match="2 classes x 1"):
        SubclusterAdaCos(8, 2, subclusters=1)


def test_mixup_mixes_waves_and_labels_alike_with_another_clip(wave):
    labels = torch.eye(3)
    mixed, soft = mixup(wave, labels, 1.0, torch.Generator().manual_seed(0))
    # with one-hot labels of one clip per class, the soft labels are the mixing matrix itself
    torch.testing.assert_close(mixed, soft @ wave)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(3))
    assert ((soft > 0).sum(dim=1) == 2).all()
    again = mixup(wave, labels, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(mixed, again[0]) and torch.equal(soft, again[1])
    assert not torch.equal(mixed, mixup(wave, labels, 1.0, torch.Generator().manual_seed(1))[0])
    assert torch.equal(mixup(wave, labels, 0.0, torch.Generator().manual_seed(0))[0], wave)


def test_mixup_is_applied_as_often_and_as_strongly_as_stated():
    partner, lam = draw_mixup(40_000, 0.5, torch.Generator().manual_seed(0))
    assert (partner != torch.arange(40_000)).all()
    assert sorted(partner.tolist()) == list(range(40_000))
    mixed = lam[lam < 1]
    assert len(mixed) / 40_000 == pytest.approx(0.5, abs=0.01)
    assert mixed.mean().item() == pytest.approx(0.5, abs=0.01)
    assert mixed.var().item() == pytest.approx(1 / 12, rel=0.03)  # of the uniform law


def test_mix_leaves_a_lone_clip_as_it_is():
    values = torch.randn(1, 5)
    torch.testing.assert_close(mix(values, *draw_mixup(1, 1.0, torch.Generator().manual_seed(0))), values)


def test_feature_exchange_labels_name_the_owner_of_each_half():
    batch, classes = 50, 50  # a class per clip
    clip = torch.arange(batch).float()
    embedding = torch.stack([clip, clip, clip + 100, clip + 100], dim=1)
    exchanged, labels = feature_exchange(embedding, torch.eye(batch), 0.5, torch.Generator().manual_seed(0))
    assert exchanged.shape == (batch, 4) and labels.shape == (batch, 3 * classes)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(batch))
    count = 0
    for own, (features, label) in enumerate(zip(exchanged, labels, strict=True)):
        plain, spectrum, spectrogram = label.split(classes)
        assert features[0] == own
        other = int(features[2]) - 100
        if other == own:
            assert plain[own] == 1
        else:
            count += 1
            assert spectrum[own] == 0.5 and spectrogram[other] == 0.5
    assert 10 < count < 40
    same, labels = feature_exchange(embedding, torch.eye(batch), 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(same, embedding) and torch.equal(labels[:, :classes], torch.eye(batch))


def test_feature_exchange_trains_both_branches_with_a_head_of_three_times_the_classes(wave):
    torch.manual_seed(0)
    network, head = DualBranch(SHORT), SubclusterAdaCos(256, 9)
    embedding, labels = feature_exchange(network(wave), torch.eye(3), 1.0, torch.Generator().manual_seed(0))
    F.cross_entropy(head(embedding, labels), labels).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def _tone(hertz, samples=16_000):
    return torch.sin(2 * torch.pi * hertz * torch.arange(samples) / 16_000)[None]


def _peak(wave):
    return torch.fft.rfft(wave[0] * torch.hann_window(wave.shape[1])).abs().argmax().item() * 16_000 / wave.shape[1]


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_speed_change_moves_pitch_and_pace_and_reads_back_from_the_end(factor, wave):
    assert _peak(speed_change(_tone(1000), factor)) == pytest.approx(1000 * factor, abs=1)
    changed = speed_change(wave, factor)
    assert changed.shape == wave.shape
    position = np.arange(SHORT) * factor
    position = np.where(position > SHORT - 1, 2 * (SHORT - 1) - position, position)
    for clip, ours in zip(wave.numpy(), changed.numpy(), strict=True):
        np.testing.assert_allclose(ours, np.interp(position, np.arange(SHORT), clip), atol=1e-5)


@pytest.mark.parametrize("semitones", [-4, 0, 3])
def test_pitch_shift_moves_the_pitch_but_not_the_pace(semitones):
    tone = _tone(1000)
    tone[:, 8000:] = 0  # a tone that stops half way still stops half way
    shifted = pitch_shift(tone, semitones)
    assert shifted.shape == tone.shape
    assert _peak(shifted[:, :8000]) == pytest.approx(1000 * 2 ** (semitones / 12), rel=0.01)
    assert shifted[:, 9500:].abs().max() < 0.05 < shifted[:, 6000:7000].abs().max()


def test_pitch_shift_by_nothing_gives_the_clip_back(wave):
    torch.testing.assert_close(pitch_shift(wave, 0)[:, 1024:-1024], wave[:, 1024:-1024], rtol=0, atol=1e-4)

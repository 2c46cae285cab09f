"""Gaussian shading: keystream, distribution, bounds, detection; and the shipped hybrid U-Net run backwards."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import betainc
from scipy.stats import chi2, kstest, norm

from qimg_core import Registry, Session
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.verdict import Verdict
from qimg_marks.watermark import WatermarkKey, detect, detect_noise, find_key
from qimg_marks.watermark import shading as gs
from qimg_marks.watermark.bits import image_nonce, keystream, signs_of
from qimg_marks.watermark.detection import inverted
from qimg_marks.watermark.finding import p_bound, threshold
from qimg_marks.watermark.source import marked_noise, parse_payload, supply

KEY = WatermarkKey(bytes(range(32)))
SHAPE = (1, 28, 28)


def nonces(n: int, run: str = "run", seed: int = 1) -> list[bytes]:
    return [image_nonce(run, seed, i) for i in range(n)]


def test_the_keystream_is_chacha20_of_rfc_8439() -> None:
    # RFC 8439, appendix A.1, test vector 1 (key, nonce and counter 0), first 52 bytes
    first = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f4"
    bits = keystream(bytes(32), bytes(12), 8 * 52)
    assert np.packbits(bits).tobytes().hex() == first
    with_nonce = "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"  # vector 5: nonce 0...02
    assert np.packbits(keystream(bytes(32), bytes(11) + b"\2", 256)).tobytes().hex() == with_nonce


def test_a_key_derives_by_hmac_and_shows_nothing(tmp_path: Path) -> None:
    assert KEY.derive("x") == hmac.new(bytes(range(32)), b"qimg.watermark/1\nx", hashlib.sha256).digest()
    assert bytes(range(32)).hex() not in repr(KEY) + KEY.id
    file = tmp_path / "k"
    made = WatermarkKey.new(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == 32
    assert WatermarkKey.load(file).id == made.id != KEY.id
    with pytest.raises(ConfigurationError, match="exists already"):
        WatermarkKey.new(file)
    assert WatermarkKey.load(file).id == made.id
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="others may read"):
        WatermarkKey.load(file)
    short = tmp_path / "short"
    short.write_bytes(bytes(31))
    short.chmod(0o600)
    with pytest.raises(DataError, match="31 bytes"):
        WatermarkKey.load(short)
    with pytest.raises(ConfigurationError, match="no watermark key"):
        WatermarkKey.load(tmp_path / "none")


def test_the_key_is_found_by_name_then_environment_then_folder(tmp_path: Path, monkeypatch: Any) -> None:
    ids = {name: WatermarkKey.new(tmp_path / name).id for name in ("a", "b", "watermark.key")}
    monkeypatch.setenv("QIMG_MARKS", str(tmp_path))
    monkeypatch.delenv("QIMG_WATERMARK_KEY", raising=False)
    assert find_key().id == ids["watermark.key"]
    monkeypatch.setenv("QIMG_WATERMARK_KEY", str(tmp_path / "b"))
    assert find_key().id == ids["b"]
    assert find_key(tmp_path / "a").id == ids["a"]


def test_marked_noise_is_standard_normal_and_independent() -> None:
    z = marked_noise(KEY, "run", 1, range(400), SHAPE).reshape(400, -1)
    assert z.dtype == np.float32
    flat = z.reshape(-1).astype(np.float64)
    assert kstest(flat, "norm").pvalue > 1e-4
    counts = np.histogram(norm.cdf(flat), 64, (0, 1))[0]
    assert chi2.sf(((counts - flat.size / 64) ** 2 / (flat.size / 64)).sum(), 63) > 1e-4
    # every cell over the images, and cells beside each other: fair coins (a repeated nonce fails here)
    ups = (z > 0).sum(0)
    assert chi2.sf(((ups - 200) ** 2 / 100).sum(), z.shape[1]) > 1e-4
    for a, b in ((z[:, 1:], z[:, :-1]), (z[1:], z[:-1])):
        assert abs((a * b).mean()) < 5 / math.sqrt(a.size)
    payload = np.array([1, 0, 1, 1], np.uint8)
    assert kstest(marked_noise(KEY, "run", 1, range(99), SHAPE, payload=payload).reshape(-1), "norm").pvalue > 1e-4


def test_noise_depends_on_key_run_seed_and_image_and_on_nothing_else() -> None:
    one = marked_noise(KEY, "run", 1, range(3), SHAPE)
    assert np.array_equal(one[1:], marked_noise(KEY, "run", 1, range(1, 3), SHAPE))
    for other in (
        marked_noise(WatermarkKey(bytes(32)), "run", 1, range(3), SHAPE),
        marked_noise(KEY, "other", 1, range(3), SHAPE),
        marked_noise(KEY, "run", 2, range(3), SHAPE),
    ):
        assert 0.4 < ((one > 0) == (other > 0)).mean() < 0.6
    assert len({*nonces(50), *nonces(50, seed=2), *nonces(50, run="r")}) == 150


def test_the_bound_holds_for_every_sign_pattern() -> None:
    signs = np.array(list(itertools.product((-1, 1), repeat=14)), np.float64)
    rng = np.random.default_rng(0)
    for c in (np.ones(14), rng.normal(size=14), np.array([5.0, *rng.random(13)]), np.eye(14)[0]):
        t = signs @ c / np.sqrt((c**2).sum())
        for level in (0.5, 1, 1.5, 2, 2.5, 3, 3.5):
            assert (t >= level).mean() <= p_bound(level)
    assert threshold(1e-6) == pytest.approx(5.2565, abs=1e-4)
    assert threshold(1e-6, 10**6) == pytest.approx(7.4338, abs=1e-4)
    assert p_bound(threshold(1e-6)) == pytest.approx(1e-6)
    for bad in ((0.0, 1), (1.0, 1), (1e-6, 0)):
        with pytest.raises(ConfigurationError):
            threshold(*bad)


def test_the_hard_statistic_is_the_incomplete_beta_function_and_the_binomial_sum() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, 60).astype(np.uint8)
    noise = signs_of(bits)
    noise[:17] *= -1
    matches, p = gs.hard(noise, bits)
    assert matches == 43
    assert p == pytest.approx(betainc(43, 60 - 43 + 1, 0.5), rel=1e-9)
    assert p == pytest.approx(float(Fraction(sum(math.comb(60, k) for k in range(43, 61)), 2**60)), rel=1e-9)


def test_detection_of_clean_noise_of_another_key_and_of_nothing() -> None:
    z = marked_noise(KEY, "run", 1, range(4), SHAPE)
    found = detect_noise(z, KEY, nonces(4))
    assert found.verdict is Verdict.PASS
    assert found.statistic > 40
    assert (found.n_images, found.method, found.key) == (4, "noise", KEY.id)
    assert detect_noise(z, WatermarkKey(bytes(32)), nonces(4)).verdict is Verdict.FAIL
    assert detect_noise(z, KEY, nonces(4, seed=2)).verdict is Verdict.FAIL
    assert detect_noise(np.zeros_like(z), KEY, nonces(4)).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(DataError, match="one nonce an image"):
        detect_noise(z, KEY, nonces(3))
    with pytest.raises(DataError, match="finite"):
        detect_noise(np.full_like(z, np.nan), KEY, nonces(4))


def test_weak_signs_add_up_over_images() -> None:
    rng = np.random.default_rng(2)
    z = 0.1 * marked_noise(KEY, "run", 1, range(16), SHAPE) + rng.normal(size=(16, *SHAPE))
    single = [detect_noise(z[i : i + 1], KEY, nonces(16)[i : i + 1]).statistic for i in range(16)]
    assert max(single) < threshold(1e-6) < detect_noise(z, KEY, nonces(16)).statistic


def test_a_search_pays_for_its_tries() -> None:
    z = marked_noise(KEY, "run", 1, range(300), SHAPE)
    found = detect_noise(z[123:124], KEY, nonces(300), search=True)
    assert found.verdict is Verdict.PASS
    assert found.where == "nonce 123"
    assert found.threshold == pytest.approx(threshold(1e-6, 300))
    weak = 0.55 * z[123:124] + np.random.default_rng(0).normal(size=(1, *SHAPE))
    alone = detect_noise(weak, KEY, nonces(300)[123:124])
    assert alone.p_bound < detect_noise(weak, KEY, nonces(300), search=True).p_bound <= 300.0001 * alone.p_bound


def test_a_payload_is_read_again_and_has_to_be_known() -> None:
    payload = parse_payload("c0ffee")
    assert payload is not None
    assert "".join(map(str, payload)) == "110000001111111111101110"
    z = marked_noise(KEY, "run", 1, range(4), SHAPE, payload=payload)
    assert detect_noise(z, KEY, nonces(4), payload=payload).statistic > 40
    assert detect_noise(z, KEY, nonces(4)).statistic < 30
    read, t = gs.read_payload(gs.coefficients(z), KEY, nonces(4), 24)
    assert np.array_equal(read, payload)
    assert np.abs(t).min() > 5
    for bad in ("xyz", "0" * 17, "-1"):
        with pytest.raises(DataError, match="hexadecimal"):
            parse_payload(bad)


def test_noise_that_is_too_small_is_refused() -> None:
    assert gs.least_cells() == 111
    with pytest.raises(DataError, match="16 numbers an image cannot carry"):
        marked_noise(KEY, "run", 1, range(2), (16,))
    with pytest.raises(DataError, match="cannot carry"):
        detect_noise(np.zeros((1, 16)), KEY, nonces(1))


def test_the_source_answers_to_its_own_name_only(monkeypatch: Any, tmp_path: Path) -> None:
    WatermarkKey.new(tmp_path / "k")
    monkeypatch.setenv("QIMG_WATERMARK_KEY", str(tmp_path / "k"))
    context = {"source": "watermark", "run": "r", "seed": 5, "start": 2, "n": 3, "shape": SHAPE, "session": None}
    given = supply(context)
    assert given is not None
    key = WatermarkKey.load(tmp_path / "k")
    assert np.array_equal(given.values, marked_noise(key, "r", 5, range(2, 5), SHAPE))
    assert given.facts["key"] == key.id
    assert supply({**context, "source": None}) is None
    assert supply({**context, "source": "qrng"}) is None
    with pytest.raises(ConfigurationError, match="nothing behind"):
        supply({**context, "source": "watermark:/home/somebody/k"})
    monkeypatch.setenv("QIMG_WATERMARK_PAYLOAD", "a5")
    with_payload = supply(context)
    assert with_payload is not None
    assert with_payload.facts["payload"] == "10100101"


@pytest.fixture(scope="module")
def unet() -> Any:
    pytest.importorskip("qimg_diffusion", reason="the shipped hybrid U-Net is in qimg-diffusion")
    session = Session(None, seed=1, profile="light", registry=Registry())
    return session.generator("hybrid-unet", weights="mnist")


def test_the_shipped_model_carries_a_mark_through_8_bits(unet: Any) -> None:
    z = marked_noise(KEY, "run", 1, range(4), SHAPE)
    images = unet.sample(4, noise=z, condition=[1, 7])  # the digits with the fewest lit pixels
    pixels = images.to_uint8()
    back = inverted(pixels, unet, images.labels)
    for i in range(4):
        found = detect_noise(back[i : i + 1], KEY, nonces(4)[i : i + 1])
        assert found.verdict is Verdict.PASS, found
    assert detect_noise(back, WatermarkKey(bytes(32)), nonces(4)).verdict is not Verdict.PASS
    unlabelled = detect(pixels[:2], KEY, model=unet, nonces=nonces(2))
    assert unlabelled.verdict is Verdict.PASS


def test_a_latent_flow_says_that_its_noise_is_too_small(monkeypatch: Any, tmp_path: Path) -> None:
    pytest.importorskip("qimg_diffusion", reason="the shipped latent flow is in qimg-diffusion")
    WatermarkKey.new(tmp_path / "k")
    monkeypatch.setenv("QIMG_WATERMARK_KEY", str(tmp_path / "k"))
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "watermark")
    registry = Registry(discover=False)
    import qimg_diffusion.plugin
    import qimg_marks.plugin
    import qimg_simulator.plugin

    for module in (qimg_diffusion.plugin, qimg_simulator.plugin, qimg_marks.plugin):
        registry.register(module, module.__name__)
    with Session(None, seed=1, registry=registry, activity="generate") as session:
        model = session.generator("quantum-latent-flow", weights="mnist")
        with pytest.raises(DataError, match="16 numbers an image cannot carry"):
            model.sample(2)
        assert not list(session.ledger.entries(kind="images.made"))


@pytest.mark.slow
def test_the_null_of_real_images_is_calibrated(unet: Any) -> None:
    data = os.environ.get("QIMG_DATA")
    if data is None:
        pytest.skip("QIMG_DATA is not set")
    from qimg_core.datasets.idx import open_folder

    source = open_folder(Path(data, "mnist"), split="test")
    real = np.rint(source.images(range(40)) * 255).astype(np.uint8)
    c = gs.coefficients(inverted(real, unet))
    rng = np.random.default_rng(0)
    t = []
    for _ in range(2500):
        key = WatermarkKey(rng.bytes(32)).derive(gs.USE)
        signs = np.stack([signs_of(keystream(key, nonce, 784)) for nonce in nonces(40)])
        t.append((c * signs).sum(1) / np.sqrt((c**2).sum(1)))
    found = np.concatenate(t)
    assert found.size == 100_000
    assert abs(found.mean()) < 0.015
    assert abs(found.std() - 1) < 0.01
    assert (found > 3.09).mean() <= p_bound(3.09)
    assert abs((found > 3.09).mean() - norm.sf(3.09)) < 4 * math.sqrt(norm.sf(3.09) / found.size)
    assert found.max() < threshold(1e-6)

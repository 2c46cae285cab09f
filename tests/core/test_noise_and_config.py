"""Noise models keep their convention; configurations survive JSON without floats."""

import json

import numpy as np
import pytest
from attrs import frozen

from qimg_core.config import config_from_json, config_to_json
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.generator import Arm, arm_field
from qimg_core.noise import Channel, NoiseModel, NoiseRule, amplitude_damping, dephasing, depolarizing, parse_noise

PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]


def act(channel, rho):
    if channel.pauli is not None:
        return sum(p * s @ rho @ s.conj().T for p, s in zip(channel.pauli, PAULIS, strict=True))
    return sum(np.array(k) @ rho @ np.array(k).conj().T for k in channel.kraus)


RHO = np.array([[0.7, 0.2 - 0.3j], [0.2 + 0.3j, 0.3]])


@pytest.mark.parametrize("p", [0.0, 0.1, 1.0, 4 / 3])
def test_depolarizing_is_the_mixture_with_the_centre(p):
    np.testing.assert_allclose(act(depolarizing(p), RHO), (1 - p) * RHO + p * np.eye(2) / 2, atol=1e-12)


def test_dephasing_and_damping_closed_forms():
    out = act(dephasing(0.2), RHO)
    np.testing.assert_allclose(out, [[0.7, 0.6 * RHO[0, 1]], [0.6 * RHO[1, 0], 0.3]])
    out = act(amplitude_damping(0.36), RHO)
    np.testing.assert_allclose(out, [[0.7 + 0.36 * 0.3, 0.8 * RHO[0, 1]], [0.8 * RHO[1, 0], 0.64 * 0.3]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: depolarizing(1.5),
        lambda: dephasing(-0.1),
        lambda: amplitude_damping(2),
        lambda: Channel(pauli=(0.5, 0.1, 0.1, 0.1)),
        lambda: Channel(kraus=(((1, 0), (0, 0.5)),)),
        Channel,
        lambda: NoiseModel(readout=(0.1, 1.2)),
        lambda: parse_noise("depolarising=0.1"),
        lambda: parse_noise("depolarizing=much"),
    ],
)
def test_what_is_no_channel_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_noise_survives_json_and_keeps_its_digest():
    model = NoiseModel((NoiseRule(depolarizing(0.013), ["cx"]), NoiseRule(amplitude_damping(0.02))), (0.01, 0.03))
    text = json.dumps(model.to_json())
    again = NoiseModel.from_json(json.loads(text))
    assert again == model
    assert again.digest == model.digest
    assert model.digest != NoiseModel(model.rules).digest


def test_the_command_lines_words():
    model = parse_noise("depolarizing=0.01, readout=0.02/0.05")
    assert model.readout == (0.02, 0.05)
    assert model.rules[0].channel == depolarizing(0.01)
    assert parse_noise("readout=0.1").readout == (0.1, 0.1)


@frozen(kw_only=True)
class Settings:
    arm: Arm = arm_field()
    rate: float = 0.1
    wires: int = 6
    wide: bool = False
    sizes: tuple[int, ...] = (1, 2)


def test_configuration_round_trip_without_floats():
    config = Settings(arm="twin", rate=0.1 + 0.2, sizes=(4,))
    document = json.loads(json.dumps(config_to_json(config)))
    assert document == {"arm": "twin", "rate": "0.30000000000000004", "wires": 6, "wide": False, "sizes": [4]}
    assert config_from_json(Settings, document) == config


@pytest.mark.parametrize(("key", "value"), [("rate", "fast"), ("wires", "six"), ("wide", "perhaps"), ("arm", "leg")])
def test_settings_that_do_not_fit(key, value):
    with pytest.raises(ConfigurationError):
        config_from_json(Settings, {key: value})


def test_the_nearest_setting_is_offered():
    with pytest.raises(UnknownName, match="did you mean 'rate'"):
        config_from_json(Settings, {"rates": 1})

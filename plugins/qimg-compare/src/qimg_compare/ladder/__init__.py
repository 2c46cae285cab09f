"""From simulation to a device, rung by rung: the same model, seed and noise, one thing changed at a time."""

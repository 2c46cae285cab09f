"""Amazon Braket as a qimg backend: local simulators, device emulation, managed simulators and QPUs."""

__version__ = "0.1.0"

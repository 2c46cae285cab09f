"""The whole suite runs with the network denied: a connection that leaves this machine is a failure."""

import socket

import pytest


class Denied(AssertionError):
    pass


@pytest.fixture(autouse=True, scope="session")
def no_network():
    real = socket.socket.connect

    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise Denied(f"the SDK sends nothing by default, but connected to {address}")
        return real(self, address)

    socket.socket.connect = connect
    yield
    socket.socket.connect = real

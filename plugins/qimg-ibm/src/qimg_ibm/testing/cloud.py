"""IBM Cloud's documents around the quantum service: login, resource search, catalogue (standard library only)."""

from __future__ import annotations

import base64
import json
from typing import Any

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/fakeaccount:fakeinstance::"
KEY = "fake-api-key-which-is-no-secret-at-all"


def login(at: int, lifetime: int) -> dict[str, Any]:
    """A token that nobody signed, good from ``at`` for ``lifetime`` seconds (Unix time)."""

    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    claims = {"iat": at, "exp": at + lifetime, "account": {"bss": "fakeaccount"}}
    return {
        "access_token": f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.c2ln",
        "refresh_token": "none",
        "token_type": "Bearer",
        "expires_in": lifetime,
        "expiration": at + lifetime,
    }


def instance() -> dict[str, Any]:
    """The one instance of the account."""
    return {
        "crn": CRN,
        "name": "fake",
        "service_plan_unique_id": "plan",
        "tags": [],
        "doc": {"extensions": {"backends": "all"}},
    }


def plan() -> dict[str, Any]:
    """Its plan, in the catalogue."""
    return {
        "id": "plan",
        "name": "open",
        "kind": "plan",
        "parent_id": "service",
        "disabled": False,
        "active": True,
        "tags": [],
        "images": {"image": ""},
        "provider": {"email": "", "name": "IBM"},
        "overview_ui": {"en": {"display_name": "Open", "description": "", "long_description": ""}},
        "metadata": {"pricing": {"type": "free"}},
    }

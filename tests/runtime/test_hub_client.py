"""Retries of requests to the Hub, and their pauses."""

from __future__ import annotations

import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from kit.runtime.hub_client import patiently, refusal, retry_after_s


class RefusedError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = SimpleNamespace(status_code=status, headers=headers)


def test_a_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s(RefusedError(429, Retry_After="12")) == 12
    assert 25 < retry_after_s(RefusedError(503, Retry_After=formatdate(time.time() + 30, usegmt=True))) <= 30
    for header in ("", "soon", "-3", formatdate(0)):
        assert retry_after_s(RefusedError(503, Retry_After=header)) == 0
    assert retry_after_s(RefusedError(503)) == retry_after_s(ValueError("no answer")) == 0


def test_retries_wait_for_retry_after_up_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("kit.runtime.hub_client.time", SimpleNamespace(sleep=waits.append, time=time.time))
    answers = iter([RefusedError(429, Retry_After="30"), RefusedError(503, Retry_After="1"), RefusedError(503), "done"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    assert patiently(ask) == "done" and waits == [30, 2, 4]
    answers = iter([RefusedError(429, Retry_After="61")])
    with pytest.raises(RefusedError) as error:
        patiently(ask)
    assert len(waits) == 3
    assert refusal(error.value, "user/name")[1] == "wait 61 s, and start again"

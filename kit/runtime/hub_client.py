"""Requests to the Hub: retries while it is busy, and readable messages for its errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import ceil
from typing import Any, TypeVar

from kit.errors import first_line

T = TypeVar("T")
TIMEOUT_S = 10.0  # of requests for metadata
_BUSY = (429, 500, 502, 503, 504)
# By name: the HTTP library below has changed twice. JSONDecodeError: a page was returned in place of JSON.
_BROKEN = {"TransportError", "ConnectionError", "TimeoutError", "JSONDecodeError"}
_WAITS_S = (1.0, 2.0, 4.0)  # before each further try
_LONGEST_WAIT_S = 60.0  # longest Retry-After to wait for; beyond that, the user decides


def patiently(ask: Callable[[], T], *, broken: bool = False) -> T:
    """Return the result of a request, repeated while the Hub is busy.

    Only for requests that may run twice.

    huggingface_hub itself repeats only some requests. A Retry-After of up to a minute is waited for; a longer one ends
    the attempts.

    Args:
        ask: The request.
        broken: Also repeat it after a broken connection or a timeout.

    Raises:
        Exception: The error of the last attempt.
    """
    for wait in _WAITS_S:
        try:
            return ask()
        except Exception as error:
            if status_of(error) not in _BUSY and not (broken and is_broken(error)):
                raise
            pause = max(wait, retry_after_s(error))
            if pause > _LONGEST_WAIT_S:
                raise
            logging.getLogger(__name__).debug("retrying the Hub in %g s: %s", pause, error)
        time.sleep(pause)
    return ask()


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status that caused an error; None if the Hub sent no response."""
    response = _response_of(error)
    return None if response is None else int(response.status_code)


def retry_after_s(error: BaseException | None) -> float:
    """Return the seconds of a Retry-After header, given as a number or a date; 0 without one."""
    response = _response_of(error)
    header = response.headers.get("Retry-After", "").strip() if response is not None else ""
    if header.isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


def is_broken(error: BaseException | None) -> bool:
    """Return whether a connection failed or broke, or something between this machine and the Hub responded instead."""
    while error is not None:
        if _BROKEN & {kind.__name__ for kind in type(error).__mro__}:
            return True
        error = error.__cause__
    return False


def refusal(error: BaseException, name: str) -> tuple[str, str]:
    """Return the reason and the remedy of the Hub's response to a request about a repository."""
    response, status = _response_of(error), status_of(error)
    if response is None or status is None:
        return f"the Hub does not give {name}: {first_line(error)}", ""
    header = response.headers.get("X-Error-Message") or ""
    if status == 401:
        hint = "log in with a token that is valid: `hf auth login` (HF_TOKEN, where it is set, is used instead)"
        return "the Hub does not accept your token", hint
    words = f"{status} {_phrase(status)}" + (f", {header}" if header else "")
    pause = retry_after_s(error)
    wait = f"wait {ceil(pause):,} s" if pause else "wait"
    return f"the Hub refused {name}: {words}", f"{wait}, and start again" if status in _BUSY else ""


def page(name: str, kind: str = "") -> str:
    """Return the address of a repository's page. kind: `datasets/` for a data set, empty for a model."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{kind}{name}"


def is_offline() -> bool:
    """Return whether requests to the Hub are disabled (HF_HUB_OFFLINE)."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def _response_of(error: BaseException | None) -> Any:
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return response
        error = error.__cause__
    return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no known status)"

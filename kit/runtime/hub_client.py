"""The Hub: patience with one that is busy, and plain words for what it refuses.

Knows huggingface_hub's errors. Knows nothing of checkpoints, data sets or recipes.
"""

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
_BUSY = (429, 500, 502, 503, 504)
# By names: the HTTP library beneath has changed twice. The last is what a page in place of an answer gives.
_BROKEN = {"TransportError", "ConnectionError", "TimeoutError", "JSONDecodeError"}
_WAITS_S = (1.0, 2.0, 4.0)  # before each further try
_LONGEST_WAIT_S = 60.0  # that a Retry-After is obeyed for; what takes longer people decide themselves


def patiently(ask: Callable[[], T], *, broken: bool = False) -> T:
    """What `ask` returns, asked again where the Hub says that it is busy or broken. For what does no harm twice.

    broken: also where the connection broke, or nothing was answered in time. Raises what `ask` raised last. The client
    itself asks again only for some requests, and not for the first. A Retry-After of the Hub is waited for, or, where
    that would take more than a minute, nothing is asked again.
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
            logging.getLogger(__name__).debug("asking the Hub again in %g s: %s", pause, error)
        time.sleep(pause)
    return ask()


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status that an error, or one that it follows from, goes back to; None if the Hub did not answer."""
    response = _response_of(error)
    return None if response is None else int(response.status_code)


def retry_after_s(error: BaseException | None) -> float:
    """Seconds that the Hub asks to be left alone for, given as such or as a date; 0 where it does not say."""
    response = _response_of(error)
    said = response.headers.get("Retry-After", "").strip() if response is not None else ""
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0.0


def is_broken(error: BaseException | None) -> bool:
    """Whether a connection was made or kept in vain, or something between here and the Hub answered in its place."""
    while error is not None:
        if _BROKEN & {kind.__name__ for kind in type(error).__mro__}:
            return True
        error = error.__cause__
    return False


def refusal(error: BaseException, name: str) -> tuple[str, str]:
    """Why the Hub does not do what it was asked about a repository, and what to do, where it answered at all."""
    response, status = _response_of(error), status_of(error)
    if response is None or status is None:
        return f"the Hub does not give {name}: {first_line(error)}", ""
    said = response.headers.get("X-Error-Message") or ""
    if status == 401:
        hint = "log in with a token that is valid: `hf auth login` (HF_TOKEN, where it is set, is used instead)"
        return "the Hub does not accept your token", hint
    words = f"{status} {_phrase(status)}" + (f", {said}" if said else "")
    pause = retry_after_s(error)
    wait = f"wait {ceil(pause):,} s" if pause else "wait"
    return f"the Hub refused {name}: {words}", f"{wait}, and start again" if status in _BUSY else ""


def page(name: str, kind: str = "") -> str:
    """Address of a repository's page, where its terms are. kind: `datasets/` for a data set."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{kind}{name}"


def is_offline() -> bool:
    """Whether the Hub is not to be asked at all (HF_HUB_OFFLINE)."""
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

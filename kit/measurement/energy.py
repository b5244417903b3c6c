"""Energy of a computation in joules, measured by codecarbon if it is installed.

If the processor reports no energy (RAPL), codecarbon estimates it from load and rated power: good enough to compare
models on one machine, not for billing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec

_SECONDS = 3.0  # shorter than this, codecarbon has too few readings
_JOULES_PER_KWH = 3.6e6


def energy_joules(work: Callable[[], int]) -> float | None:
    """Return the joules per item of some work, or None if codecarbon is not installed.

    Only this process is counted, not the rest of the machine.

    Args:
        work: Processes some items and returns their number; it is repeated for a few seconds.
    """
    if find_spec("codecarbon") is None:
        return None
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="USA",  # required for carbon emissions, which are not used here
        tracking_mode="process",
        measure_power_secs=1,
        save_to_file=False,
        allow_multiple_runs=True,
        log_level="critical",
    )
    done, began = 0, time.perf_counter()
    tracker.start()
    while time.perf_counter() - began < _SECONDS:
        done += work()
    tracker.stop()
    spent = float(tracker.final_emissions_data.energy_consumed) * _JOULES_PER_KWH
    return spent / done if spent > 0 else None

"""Energy: how many joules a machine spends on something, by codecarbon where it is installed.

Where the processor does not tell (RAPL) it is an estimate from its load and the power it is made for: right for
comparing models on one machine, not for a bill.

Knows codecarbon. Knows nothing of models.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec

_SECONDS = 3.0  # shorter than this, codecarbon has too few readings
_JOULES_PER_KWH = 3.6e6


def energy_joules(work: Callable[[], int]) -> float | None:
    """Joules for each item that `work` does; it is repeated for some seconds. None where codecarbon is not installed.

    work: does some items and returns how many. What the process itself uses is counted, not the rest of the machine.
    """
    if find_spec("codecarbon") is None:
        return None
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="USA",  # asked for the carbon of the current, which is not used here
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

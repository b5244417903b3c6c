"""Launches: a command on several processes that meet on this machine, as torchrun starts it, but forked.

A launch by torchrun takes half a minute of a core, in which libraries are imported; see `tests.support.processes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.kit_shell import Result
from tests.support.processes import Forked


@dataclass(frozen=True)
class Launch:
    """A running command. processes: by rank. store: where they met, which is there as long as this is."""

    processes: list[Forked]
    store: object

    def results(self) -> list[Result]:
        """Wait for the end of all."""
        found = []
        for process in self.processes:
            out, err = process.communicate()
            found.append(Result(process.wait(), out, err))
        return found


def launched(
    start: Callable[..., Forked],
    count: int,
    *arguments: object,
    ranks: Sequence[dict[str, str]] | None = None,
    **environment: str,
) -> Launch:
    """Start `kit` with these arguments on `count` processes of a CPU. ranks: more of the environment, for each."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "ACCELERATE_USE_CPU": "true",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        **environment,
    }
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank), **(ranks[rank] if ranks else {})} for rank in range(count)]
    return Launch([start(*arguments, **{**shared, **each}) for each in own], store)

"""Ray as far as `kit.studies.engines.ray` uses it: nodes with cores and GPUs, lost and coming back on a virtual clock.

Nothing is run but what a task calls, at the moment when it would end.
"""

from __future__ import annotations

import heapq
import itertools
import random
import weakref
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """What Ray raises."""


class LostError(RayError):
    """Of a task that was lost more often than it may be tried again."""


class RayTaskError(RayError):
    """Of a task whose function raised, or could not be imported."""


class RuntimeEnvSetupError(RayError):
    """Of a task whose environment could not be made."""


@dataclass(eq=False)
class Reference:
    """What `remote` gives. attempts: nodes that it was begun on. done: whether `result` is there."""

    call: Callable[[], Any]
    needs: dict[str, float]
    retries: int
    attempts: int = 0
    done: bool = False
    result: Any = None
    error: Exception | None = None


@dataclass(eq=False)
class Node:
    """A machine. running: its tasks, each with the number of the attempt."""

    size: dict[str, float]
    free: dict[str, float]
    alive: bool = True
    running: dict[Reference, int] = field(default_factory=dict)


class SimulatedRay:
    """A cluster. task_s, lost_s, away_s: means of the seconds that tasks take, nodes live, and nodes are away.

    ended: results that tasks gave, by what `name` says of a call's arguments. most: references that somebody held.
    """

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, RuntimeEnvSetupError=RuntimeEnvSetupError
    )

    def __init__(
        self,
        nodes: int,
        size: dict[str, float],
        name: Callable[..., str],
        *,
        task_s: float,
        lost_s: float,
        away_s: float,
    ) -> None:
        self.nodes_ = [Node(dict(size), dict(size)) for _ in range(nodes)]
        self.now, self.losses, self.most = 0.0, 0, 0
        self.ended: Counter[str] = Counter()
        self._name, self._task_s, self._lost_s, self._away_s = name, task_s, lost_s, away_s
        self._random = random.Random(0)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: deque[Reference] = deque()
        self._held: weakref.WeakSet[Reference] = weakref.WeakSet()
        for node in self.nodes_:
            self._after(self._random.expovariate(1 / lost_s), lambda node=node: self._lose(node))

    def is_initialized(self) -> bool:
        return False

    def init(self, **_: object) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def put(self, value: Any) -> Any:
        return value

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": node.alive, "Resources": node.size} for node in self.nodes_]

    def cluster_resources(self) -> dict[str, float]:
        alive = sum(node.alive for node in self.nodes_)
        return {name: alive * size for name, size in self.nodes_[0].size.items()}

    def remote(self, max_retries: int) -> Callable[[Callable[..., Any]], Any]:
        def options(function: Callable[..., Any], num_cpus: float, num_gpus: float = 0) -> Any:
            needs = {"CPU": num_cpus, "GPU": num_gpus}
            return SimpleNamespace(remote=lambda *given: self._submit(function, given, needs, max_retries))

        return lambda function: SimpleNamespace(options=lambda **needs: options(function, **needs))

    def wait(self, references: list[Reference], num_returns: int, timeout: float) -> tuple[list[Reference], None]:
        until = self.now + timeout
        while True:
            done = [reference for reference in references if reference.done][:num_returns]
            if done or not self._events or self._events[0][0] > until:
                self.now = self.now if done else until
                return done, None
            self.now, _, happen = heapq.heappop(self._events)
            happen()

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def get(self, reference: Reference) -> Any:
        if reference.error is not None:
            raise reference.error
        return reference.result

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happen))

    def _submit(
        self, function: Callable[..., Any], given: tuple[Any, ...], needs: dict[str, float], retries: int
    ) -> Any:
        def call() -> Any:
            self.ended[self._name(*given)] += 1
            return function(*given)

        reference = Reference(call, needs, retries)
        self._held.add(reference)
        self.most = max(self.most, len(self._held))
        self._waiting.append(reference)
        if len(self._waiting) == 1:
            self._place(self.nodes_)
        return reference

    def _place(self, nodes: list[Node]) -> None:
        """Begin what waits, in order, as far as these nodes have room: no others have."""
        for node in nodes:
            while self._waiting and node.alive and all(node.free[n] >= v for n, v in self._waiting[0].needs.items()):
                self._begin(self._waiting.popleft(), node)

    def _begin(self, task: Reference, node: Node) -> None:
        task.attempts += 1
        node.running[task] = task.attempts
        for name, need in task.needs.items():
            node.free[name] -= need
        # What may happen holds no reference, so that only the driver's are counted.
        held, attempt = weakref.ref(task), task.attempts
        self._after(self._random.expovariate(1 / self._task_s), lambda: self._end(node, held(), attempt))

    def _end(self, node: Node, task: Reference | None, attempt: int) -> None:
        if task is None or node.running.get(task) != attempt:
            return  # it was lost meanwhile
        del node.running[task]
        for name, need in task.needs.items():
            node.free[name] += need
        task.done = True
        try:
            task.result = task.call()
        except Exception as error:
            task.error = RayTaskError(f"ray::_call()\n{type(error).__name__}: {error}")
        self._place([node] if self._waiting else [])

    def _lose(self, node: Node) -> None:
        self.losses += 1
        node.alive, lost = False, list(node.running)
        node.running.clear()
        node.free = dict(node.size)
        for task in lost:
            if task.attempts > task.retries:
                task.error, task.done = LostError("the node was lost"), True
            else:
                self._waiting.append(task)
        self._after(self._away_s, lambda: self._return(node))

    def _return(self, node: Node) -> None:
        node.alive = True
        self._after(self._random.expovariate(1 / self._lost_s), lambda: self._lose(node))
        self._place([node])

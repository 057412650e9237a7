"""Counters of one gateway process in Prometheus' text format. Numbers only: no address, no key, no text."""

from __future__ import annotations

from collections import defaultdict

LATENCY_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)


class Metrics:
    """What was counted since the process began. Changed on the event loop only; read anywhere."""

    def __init__(self) -> None:
        self.requests: dict[tuple[int, str, int], int] = defaultdict(int)
        self.refused: dict[int, int] = defaultdict(int)
        self.fallbacks: dict[int, int] = defaultdict(int)
        self.latency = [0] * (len(LATENCY_MS) + 1)
        self.latency_sum_ms = 0.0
        self.in_flight = 0
        self.shadows_skipped = 0
        self.snapshots_refused = 0

    def answered(self, endpoint: int, arm: str, status: int, latency_ms: float) -> None:
        """Count one routed request."""
        self.requests[endpoint, arm, status] += 1
        self.latency_sum_ms += latency_ms
        for position, limit in enumerate(LATENCY_MS):
            if latency_ms <= limit:
                self.latency[position] += 1
                return
        self.latency[-1] += 1

    def as_text(self, **gauges: float) -> str:
        """The exposition text; `gauges` are read by the caller at this moment."""
        prefix = "ftportal_gateway_"
        lines = [f"# TYPE {prefix}requests_total counter"]
        for (endpoint, arm, status), count in sorted(self.requests.items()):
            labels = f'endpoint="{endpoint}",arm="{arm}",status="{status}"'
            lines.append(f"{prefix}requests_total{{{labels}}} {count}")
        lines.append(f"# TYPE {prefix}refused_total counter")
        lines += [f'{prefix}refused_total{{status="{s}"}} {n}' for s, n in sorted(self.refused.items())]
        lines.append(f"# TYPE {prefix}fallbacks_total counter")
        lines += [f'{prefix}fallbacks_total{{endpoint="{e}"}} {n}' for e, n in sorted(self.fallbacks.items())]
        lines.append(f"# TYPE {prefix}latency_ms histogram")
        total = 0
        for limit, count in zip((*LATENCY_MS, "+Inf"), self.latency, strict=True):
            total += count
            lines.append(f'{prefix}latency_ms_bucket{{le="{limit}"}} {total}')
        lines += [f"{prefix}latency_ms_sum {self.latency_sum_ms:.3f}", f"{prefix}latency_ms_count {total}"]
        for name, value in {
            "in_flight": self.in_flight,
            "shadows_skipped_total": self.shadows_skipped,
            "snapshots_refused_total": self.snapshots_refused,
            **gauges,
        }.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {prefix}{name} {kind}", f"{prefix}{name} {value:g}"]
        return "\n".join(lines) + "\n"

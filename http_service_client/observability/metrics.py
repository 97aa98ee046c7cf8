class HttpMetrics: pass
class MetricsCollector:
    def __init__(self, metrics=None): self.metrics = metrics or HttpMetrics()
    def collect(self, event): pass
    def summary(self): return {}

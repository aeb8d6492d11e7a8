"""Power that fails in the middle of a program: at one of its calls."""


class PowerCut(Exception):
    pass


class Power:
    """Lasts for so many calls of all functions that depend on it; `calls` is how many there were."""

    def __init__(self, lasts):
        self.lasts, self.calls = lasts, 0

    def on(self, function):
        """`function`, as long as there is power."""

        def called(*arguments, **options):
            self.calls += 1
            if self.calls > self.lasts:
                raise PowerCut
            return function(*arguments, **options)

        return called

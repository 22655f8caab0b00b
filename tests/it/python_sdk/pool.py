"""Creates and kills sandboxes, with a pause in between, and prints the median time of a creation in ms."""

import statistics
import sys
import time

from e2b import Sandbox

times = []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    sandbox = Sandbox.create(timeout=60)
    times.append((time.perf_counter() - began) * 1000)
    assert sandbox.commands.run("echo hi").stdout == "hi\n"
    sandbox.kill()
    time.sleep(0.7)
# A pool learns from the first ones what to keep warm.
print(f"{statistics.median(times[4:]):.0f}")

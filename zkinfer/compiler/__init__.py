"""From a float model to an exact integer circuit.

This file is executed before any module of the folder, and nothing outside the folder imports onnxruntime.
"""

import os

# Read when onnxruntime is loaded. Without it onnxruntime writes a database of events, with graphs' names, texts of
# errors and a number of the device, into the user's home, and resolves the name of the host that collects them.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

"""The forms that an exported file can have, and how much audio calibrates it."""

PARTS = ("encoder", "reconstruct", "gap", "classifier")  # what a file computes, see `part`
FORMATS = ("tflite", "onnx")
TARGETS = ("any", "micro")  # micro: a microcontroller with TFLite Micro
MODES = ("streaming", "window")
STATES = ("internal", "external")  # of a streaming file
INPUTS = ("pcm", "log_mel")
CALIBRATION_SLICES = 256

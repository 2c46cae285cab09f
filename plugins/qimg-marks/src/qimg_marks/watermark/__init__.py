"""Watermarks that a key finds again: in the initial noise of flows and diffusions, or in any image's pixels.

`detect` decides, `mark_pixels` marks, `WatermarkKey` is the key. Imports numpy, scipy and qimg_core; no model.
A watermark is evidence that an image was marked, never that it is authentic: see `docs/how-to/watermark.md`.
"""

from __future__ import annotations

from qimg_marks.watermark.detection import detect, detect_noise
from qimg_marks.watermark.finding import WatermarkFinding
from qimg_marks.watermark.key import WatermarkKey, find_key
from qimg_marks.watermark.spread import mark_pixels

__all__ = ["WatermarkFinding", "WatermarkKey", "detect", "detect_noise", "find_key", "mark_pixels"]

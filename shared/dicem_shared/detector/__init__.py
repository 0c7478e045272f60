"""A lean object detector: letterbox, one pass through an ONNX network, boxes back in frame pixels.

It lies in `shared` because both sites serve it: the vehicle, and the cloud for those who ship whole frames.
"""

from .model import Detection, Detector

__all__ = ["Detection", "Detector"]

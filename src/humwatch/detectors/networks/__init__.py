"""Networks and losses of the machine id classifiers: clips in, embeddings and class logits out."""

from .dual_branch import DualBranch
from .heads import (
    ArcFace,
    SubclusterAdaCos,
    draw_mixup,
    feature_exchange,
    mix,
    mixup,
    noisy_arcmix_loss,
    own_class_log_probability,
    pitch_shift,
    speed_change,
)
from .stgram import STgramMFN

__all__ = [
    "ArcFace",
    "DualBranch",
    "STgramMFN",
    "SubclusterAdaCos",
    "draw_mixup",
    "feature_exchange",
    "mix",
    "mixup",
    "noisy_arcmix_loss",
    "own_class_log_probability",
    "pitch_shift",
    "speed_change",
]

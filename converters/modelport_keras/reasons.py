"""Why some layers of Keras cannot be exported, in sentences."""

from __future__ import annotations

__all__ = ["NOT_EXPORTABLE"]

_HASH = "It hashes with FarmHash or SipHash, for which there is no step: use a StringLookup with a vocabulary."
_FOREIGN = "It calls code of another framework, which is not read: export that part with its own framework."
_SIGNAL = "No step expresses a Fourier transform: compute the spectrogram before the model."

NOT_EXPORTABLE = {
    "ConvLSTM1D": "No step expresses a recurrence of convolutions: use backend='tf2onnx' to write ONNX.",
    "ConvLSTM2D": "No step expresses a recurrence of convolutions: use backend='tf2onnx' to write ONNX.",
    "ConvLSTM3D": "No step expresses a recurrence of convolutions: use backend='tf2onnx' to write ONNX.",
    "Hashing": _HASH,
    "HashedCrossing": _HASH,
    "MelSpectrogram": _SIGNAL,
    "STFTSpectrogram": _SIGNAL,
    "TFSMLayer": _FOREIGN,
    "JaxLayer": _FOREIGN,
    "FlaxLayer": _FOREIGN,
    "TorchModuleWrapper": _FOREIGN,
    "Lambda": "Its function is stored as code, which is not run: hand the model over from Python, where it can be traced.",
}

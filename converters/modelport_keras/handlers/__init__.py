"""Handlers by family; importing this package registers all of them."""

from __future__ import annotations

from .. import activations as activations
from . import attention as attention
from . import convolution as convolution
from . import core as core
from . import images as images
from . import lookups as lookups
from . import mathematics as mathematics
from . import merging as merging
from . import normalization as normalization
from . import pooling as pooling
from . import recurrent as recurrent
from . import reshaping as reshaping
from . import shapes as shapes
from . import texts as texts
from . import wrapping as wrapping

"""Training: `fit` minimises any loss over any pytree, networks and neurons alike."""

from jaxneuro.train.checkpoint import CheckpointError as CheckpointError
from jaxneuro.train.training import History as History
from jaxneuro.train.training import fit as fit

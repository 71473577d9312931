"""The options of the published competitors. No torch here.

A value that a method chooses on validation samples is the fixed value used where there are none.
"""

from __future__ import annotations

from pydantic import Field

from stages.config import Config


class TrainedOptions(Config):
    """What every trained competitor has."""

    epochs: int = Field(12, ge=1, description="Passes over the support; the best one is kept.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")


class ClipAdapterOptions(TrainedOptions):
    """CLIP-Adapter: a bottleneck net on the image feature."""

    epochs: int = Field(20, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, cosine decay to zero.")
    reduction: int = Field(4, ge=1, description="The net's inner width is the feature width divided by this.")
    ratio: float = Field(0.2, ge=0, le=1, description="Share of the net's output while training, and after where nothing is selected.")


class TaskResOptions(TrainedOptions):
    """TaskRes: a residual on the class texts."""

    learning_rate: float = Field(2e-3, gt=0, description="Adam's, cosine decay to zero.")
    alpha: float = Field(0.5, gt=0, description="Scale of the residual.")


class LinearProbeOptions(TrainedOptions):
    """ZS-LP: class weights trained from the zero-shot ones, without any pull to them."""

    learning_rate: float = Field(1e-2, gt=0, description="SGD's, with momentum 0.9 and cosine decay to zero.")


class ClapOptions(LinearProbeOptions):
    """CLAP: ZS-LP with a class-wise penalty on leaving the zero-shot weights."""

    strength: float = Field(100.0, ge=0, description="Weight of the penalty; 100 on unit texts is CLAP's 1 on raw texts of norm 10.")


class LpPlusPlusOptions(Config):
    """LP++: class weights and text weights by block gradient descent with steps from the data."""

    epochs: int = Field(300, ge=1, description="Full-batch steps; the best one is kept.")
    text_every: int = Field(10, ge=1, description="Steps between two updates of the text weights.")


class CrossModalOptions(TrainedOptions):
    """Cross-modal linear probe: the class texts are training samples too."""

    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, cosine decay to zero.")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's.")


class GdaOptions(Config):
    """GDA-CLIP: Gaussian discriminant analysis beside the zero-shot logits."""

    alpha: float = Field(1e-2, gt=0, description="Weight of the discriminant, at logit scale 100; rescaled for others.")


class TipXOptions(Config):
    """Tip-X: Tip-Adapter and an affinity between zero-shot posteriors."""

    alpha: float = Field(1.0, gt=0, description="Weight of the image cache at 16 shots and logit scale 100; rescaled for others.")
    beta: float = Field(5.5, gt=0, description="Sharpness of the affinity.")
    gamma: float = Field(1.0, ge=0, description="Weight of the posteriors' affinity, rescaled as alpha is.")
    temperature: float = Field(0.5, gt=0, description="Temperature of the posteriors, over cosines.")


class ApeOptions(Config):
    """APE: a cache over refined channels, each key weighted by how far its text prediction is off."""

    alpha: float = Field(1.0, gt=0, description="Weight of the cache at 16 shots and logit scale 100; rescaled for others.")
    beta: float = Field(5.5, gt=0, description="Sharpness of the affinity.")
    gamma: float = Field(0.1, ge=0, description="Sharpness of the keys' weights.")
    channels: float = Field(0.7, gt=0, le=1, description="Share of the channels kept.")
    similarity: float = Field(0.7, ge=0, le=1, description="Share of inter-class similarity in the criterion; the rest is variance.")


class ApeTOptions(TrainedOptions):
    """APE-T: one residual a class, added to its text and its keys, and one weight a key."""

    epochs: int = Field(10, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, weight decay 0.1, cosine decay to zero.")
    alpha: float = Field(1.0, gt=0, description="Weight of the cache at 16 shots and logit scale 100; rescaled for others.")
    beta: float = Field(5.5, gt=0, description="Sharpness of the affinity.")
    channels: float = Field(0.5, gt=0, le=1, description="Share of the channels that the residual moves.")
    similarity: float = Field(0.2, ge=0, le=1, description="Share of inter-class similarity in the criterion; the rest is variance.")

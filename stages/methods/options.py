"""The options of every method. No torch here: planning validates options in milliseconds.

A setting that is searched names its value where there are no validation samples, and its grid.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from xmap.stages.methods.searched import Given, Grid, MethodOptions, Positive, PositiveShare, Search, Share, Weight

# Of a cache, in units of 16 shots and logit scale 100.
ALPHAS = Grid((0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.2, 3.3, 5.0, 7.5, 11.0))
BETAS = Grid((0.5, 1.0, 2.0, 3.0, 4.0, 5.5, 7.5, 10.0, 14.0, 20.0))
RATIOS = Grid((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), widen=False)


def rates(*values: float) -> Grid:
    """Learning rates to try, each for a whole training: not widened."""
    return Grid(values, widen=False)


class TrainedOptions(MethodOptions):
    """What every trained competitor has."""

    epochs: int = Field(12, ge=1, description="Passes over the support; the best one is kept.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")


class ZeroShotOptions(MethodOptions):
    """CLIP's zero-shot classifier has no options."""


class TipAdapterOptions(MethodOptions):
    """Tip-Adapter: the image cache, untrained."""

    alpha: Annotated[Given[Positive], Search(1.0, ALPHAS)] = Field(
        None, description="Weight of the cache at 16 shots and logit scale 100, rescaled for others."
    )
    beta: Annotated[Given[Positive], Search(5.5, BETAS)] = Field(None, description="Sharpness of the affinity.")


class TipAdapterFOptions(TipAdapterOptions):
    """Tip-Adapter-F: the image keys become weights, trained as published."""

    epochs: int = Field(20, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")
    self_match: Literal["none", "mask"] = Field("none", description="Whether a support query meets its own key while training.")


# With more shots XMAdapter hears no images without labels: their gain could not be told from chance.
POOL_SHOTS = 2


class XMAdapterOptions(MethodOptions):
    """XMAdapter, our default form. The defaults hold where validation does not speak clearly for other values."""

    alpha: Annotated[Given[Weight], Search()] = Field(
        None, description="Weight of the fused affinities; default 30 to 120, growing with the shots."
    )
    gamma: Annotated[Given[Share], Search()] = Field(
        None, description="Share of the image affinity, 1 image only, 0 text only; default 1/3 to 5/6."
    )
    residual: Annotated[Given[Weight], Search()] = Field(
        None, description="Share rho of the residual class weights; default min(0.75, shots / 4)."
    )
    beta: float = Field(2.0, gt=0, description="Sharpness of the image affinity.")
    beta_text: float = Field(3.0, gt=0, description="Sharpness of the text affinity.")
    keys: Literal["tuned", "frozen"] = Field("tuned", description="Whether the image keys are trained, from 3 shots on.")
    metric: Literal["split", "shared", "plain"] = Field("split", description="Spaces of the caches: split, shared, or not learned.")
    hard_weight: float = Field(1.0, ge=0, description="Strength lambda of the hard-sample weights; 0 weights all alike.")
    penalty: float = Field(50.0, ge=0, description="Pull of the residual class weights to the texts.")
    epochs: int = Field(12, ge=1, description="Passes over the support, at least as many as min_steps needs.")
    min_steps: int = Field(200, ge=1, description="Fewest steps of training.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, at width 512 and logit scale 100; cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")


class XMAdapterPaperOptions(TipAdapterOptions):
    """XMAdapter's faithful form. What the paper leaves open is an option here."""

    epochs: int = Field(20, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")
    self_match: Literal["none", "mask"] = Field("mask", description="Whether a support query meets its own key while training.")
    keys: Literal["tuned", "frozen"] = Field("tuned", description="Whether the image keys are trained.")
    kernel: Literal["exp", "relative"] = Field("exp", description="Text affinity: as the image side's, or from the query's best class.")
    beta_text: float = Field(5.5, gt=0, description="Sharpness of the text affinity.")
    width: int = Field(0, ge=0, description="Width D of the nets' common space; 0: that of the features.")
    depth: Literal[1, 2] = Field(1, description="Layers of MetaNet and Img2TxtNet.")
    start: Literal["shared", "random"] = Field("shared", description="The nets start as one map of the CLIP space, or as two random ones.")
    gamma_mode: Literal["fixed", "learned", "gated"] = Field("learned", description="Gamma chosen, learned, or a gate per sample.")
    gamma: Annotated[Given[Share], Search(0.5, Grid((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), widen=False))] = Field(
        None, description="Gamma at the start of training; 0.5. Chosen on validation samples if gamma_mode is fixed."
    )
    disagreement: Literal["class", "key"] = Field("class", description="Whether the two sides are compared on class sums or key by key.")
    hard_weight: float = Field(1.0, ge=0, description="Strength lambda of the hard-sample weights; 0 weights all alike.")

    def searched(self) -> dict[str, Search]:
        """A learned gamma only starts at its option."""
        return {name: search for name, search in self.searches().items() if name != "gamma" or self.gamma_mode == "fixed"}


class ClipAdapterOptions(TrainedOptions):
    """CLIP-Adapter: a bottleneck net on the image feature."""

    epochs: int = Field(20, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: Annotated[Given[Positive], Search(1e-3, rates(3e-4, 1e-3, 3e-3))] = Field(
        None, description="Adam's, cosine decay to zero."
    )
    reduction: int = Field(4, ge=1, description="The net's inner width is the feature width divided by this.")
    ratio: Annotated[Given[Share], Search(0.2, RATIOS)] = Field(
        None, description="Share of the net's output. Trained at 0.2, or the one given, or of those given the nearest to it."
    )


class TaskResOptions(TrainedOptions):
    """TaskRes: a residual on the class texts."""

    learning_rate: Annotated[Given[Positive], Search(2e-3, rates(2e-4, 6e-4, 2e-3))] = Field(
        None, description="Adam's, cosine decay to zero."
    )
    alpha: float = Field(0.5, gt=0, description="Scale of the residual.")


class LinearProbeOptions(TrainedOptions):
    """ZS-LP: class weights trained from the zero-shot ones, without any pull to them."""

    learning_rate: Annotated[Given[Positive], Search(1e-2, rates(1e-3, 3e-3, 1e-2))] = Field(
        None, description="SGD's, with momentum 0.9 and cosine decay to zero."
    )


class ClapOptions(TrainedOptions):
    """CLAP: ZS-LP with a class-wise penalty on leaving the zero-shot weights."""

    learning_rate: float = Field(1e-2, gt=0, description="SGD's, with momentum 0.9 and cosine decay to zero.")
    strength: Annotated[Given[Weight], Search(100.0, Grid((30.0, 100.0, 300.0, 1000.0), widen=False))] = Field(
        None, description="Weight of the penalty; 100 on unit texts is CLAP's 1 on raw texts of norm 10."
    )


class LpPlusPlusOptions(MethodOptions):
    """LP++: class weights and text weights by block gradient descent with steps from the data."""

    epochs: int = Field(300, ge=1, description="Full-batch steps; the best one is kept.")
    text_every: int = Field(10, ge=1, description="Steps between two updates of the text weights.")


class CrossModalOptions(TrainedOptions):
    """Cross-modal linear probe: the class texts are training samples too."""

    learning_rate: Annotated[Given[Positive], Search(1e-3, rates(1e-4, 3e-4, 1e-3))] = Field(
        None, description="AdamW's, cosine decay to zero."
    )
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's.")


class GdaOptions(MethodOptions):
    """GDA-CLIP: Gaussian discriminant analysis beside the zero-shot logits."""

    alpha: Annotated[Given[Positive], Search(1e-2, Grid((1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)))] = (
        Field(None, description="Weight of the discriminant, at logit scale 100; rescaled for others.")
    )


class TipXOptions(MethodOptions):
    """Tip-X: Tip-Adapter and an affinity between zero-shot posteriors."""

    alpha: Annotated[Given[Positive], Search(1.0, ALPHAS)] = Field(
        None, description="Weight of the image cache at 16 shots and logit scale 100; rescaled for others."
    )
    beta: Annotated[Given[Positive], Search(5.5, BETAS)] = Field(None, description="Sharpness of the affinity.")
    gamma: Annotated[Given[Weight], Search(1.0, Grid((0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)))] = Field(
        None, description="Weight of the posteriors' affinity, rescaled as alpha is."
    )
    temperature: float = Field(0.5, gt=0, description="Temperature of the posteriors, over cosines.")


class ApeOptions(MethodOptions):
    """APE: a cache over refined channels, each key weighted by how far its text prediction is off."""

    alpha: Annotated[Given[Positive], Search(1.0, ALPHAS)] = Field(
        None, description="Weight of the cache at 16 shots and logit scale 100; rescaled for others."
    )
    beta: Annotated[Given[Positive], Search(5.5, BETAS)] = Field(None, description="Sharpness of the affinity.")
    gamma: Annotated[Given[Weight], Search(0.1, Grid((0.0, 0.1, 0.3)))] = Field(None, description="Sharpness of the keys' weights.")
    channels: Annotated[Given[PositiveShare], Search(0.7, Grid((0.5, 0.7, 0.9, 1.0), widen=False))] = Field(
        None, description="Share of the channels kept."
    )
    similarity: float = Field(0.7, ge=0, le=1, description="Share of inter-class similarity in the criterion; the rest is variance.")


class ApeTOptions(TrainedOptions):
    """APE-T: one residual a class, added to its text and its keys, and one weight a key."""

    epochs: int = Field(10, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: Annotated[Given[Positive], Search(1e-3, rates(1e-4, 1e-3))] = Field(
        None, description="AdamW's, weight decay 0.1, cosine decay to zero."
    )
    alpha: Annotated[Given[Positive], Search(1.0, ALPHAS)] = Field(
        None, description="Weight of the cache at 16 shots and logit scale 100; rescaled for others."
    )
    beta: Annotated[Given[Positive], Search(5.5, BETAS)] = Field(None, description="Sharpness of the affinity.")
    channels: float = Field(0.5, gt=0, le=1, description="Share of the channels that the residual moves.")
    similarity: float = Field(0.2, ge=0, le=1, description="Share of inter-class similarity in the criterion; the rest is variance.")


class ProkerOptions(MethodOptions):
    """ProKeR: kernel ridge regression of what the texts get wrong. Without validation samples the released settings of the shots hold."""

    beta: Annotated[Given[Positive], Search(None, Grid((0.5, 1.0, 1.5, 2.0, 2.5, 3.0)))] = Field(
        None, description="Sharpness of the kernel; released 1.5 to 3."
    )
    ridge: Annotated[Given[Positive], Search(None, Grid((0.01, 0.03, 0.1, 0.3, 1.0)))] = Field(
        None, description="How much the texts are trusted against the support; released 0.05 to 0.1."
    )


class ProkerClapOptions(MethodOptions):
    """ProKeR with CLAP: class weights held near the texts, trained beside the kernel."""

    beta: float | None = Field(None, gt=0, description="Sharpness of the kernel; released 1.5 to 3, by the shots.")
    ridge: float | None = Field(None, gt=0, description="How much the class weights are trusted against the support; released 0.05 to 0.1.")
    strength: Annotated[Given[Weight], Search(1.0, Grid((1.0, 10.0, 100.0), widen=False))] = Field(
        None, description="Weight of the penalty."
    )
    min_steps: int = Field(200, ge=1, description="Fewest steps of training.")
    learning_rate: float = Field(1e-4, gt=0, description="AdamW's, cosine decay to zero.")
    batch_size: int = Field(64, ge=1, description="Queries a step.")


class AlignedMixOptions(MethodOptions):
    """Mixed prototypes in the texts' own directions, and a discriminant of the images beside them (our reconstruction)."""

    energy: Annotated[Given[PositiveShare], Search(0.95, Grid((0.8, 0.9, 0.95, 1.0), widen=False))] = Field(
        None, description="Share of the texts' spectrum in the directions that are kept."
    )
    worth: Annotated[Given[Weight], Search(0.2, Grid((0.05, 0.1, 0.2, 0.4, 1.0)))] = Field(
        None, description="What a shot is worth against the text."
    )
    alpha: Annotated[Given[Weight], Search(1e-3, Grid((0.0, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)))] = Field(
        None, description="Weight of the discriminant at logit scale 100."
    )


class SsTextOptions(MethodOptions):
    """SS-Text: class sums of the support and the texts, in closed form; nothing is chosen."""

    form: Literal["plain", "plus"] = Field("plain", description="plain, or plus: sums by shares of the support, classes pushed apart.")


class SemobridgeOptions(MethodOptions):
    """SeMoBridge: keys and queries carried back through the text projection, to where texts lie."""

    sharpness: Annotated[Given[Positive], Search(1.0, Grid((0.5, 1.0, 2.0, 4.0, 8.0), widen=False))] = Field(
        None, description="Sharpness of the affinities."
    )
    bridged_keys: Annotated[Given[Weight], Search(1.0, Grid((0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0), widen=False))] = Field(
        None, description="Weight of what bridged keys say, against the texts' 1."
    )
    bridged_queries: Annotated[Given[Weight], Search(1.0, Grid((0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0), widen=False))] = Field(
        None, description="Weight of what bridged queries meet, against the texts' 1."
    )
    smoothness: float = Field(0.01, ge=0, description="How much a class counts for more whose images its text describes badly.")


class SemobridgeTOptions(SemobridgeOptions):
    """SeMoBridge-T: the way back is trained, with a bias a class."""

    epochs: int = Field(300, ge=1, description="Full-batch steps; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, constant after a tenth of the steps.")


class TimoOptions(MethodOptions):
    """TIMO: images weigh the sentences of their class, and these join the images in a discriminant."""

    guidance: Annotated[Given[Weight], Search(50.0, Grid((0.0, 1.0, 5.0, 20.0, 50.0, 100.0), widen=False))] = Field(
        None, description="How much more a sentence counts that matches the images of its class."
    )
    sentences: Annotated[Given[Positive], Search(1.0, Grid((0.1, 0.25, 0.5, 1.0, 1.5, 2.0), widen=False))] = Field(
        None, description="Share of a class's sentences that join the images, the best first; 2 takes each twice."
    )
    alpha: Annotated[Given[Positive], Search(1e-2, Grid((1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)))] = Field(
        None, description="Weight of the discriminant, at logit scale 100; rescaled for others."
    )

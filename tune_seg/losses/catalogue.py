"""What each loss is called, needs and accepts, without importing torch.

The command line checks a configuration against this page before it loads anything heavy. To add a loss, write its file
beside this one and add its :class:`~tune_seg.losses.spec.LossSpec` to ``LOSSES``; nothing else has to know about it.
:func:`get_spec` also describes losses that do not belong to the package.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tune_seg.errors import InputError, did_you_mean
from tune_seg.losses import own
from tune_seg.losses.spec import LossSpec, Parameter

_SPECS = (
    LossSpec(
        name="ce",
        implementation="tune_seg.losses.cross_entropy:CrossEntropyLoss",
        formula="-sum_c P_c log p_c",
        source="Hossain eq. (3); Taubert eq. (1) with all weights 1",
        when="Always, as the baseline: nothing to tune, and outputs that can be read as probabilities.",
        proper=True,
    ),
    LossSpec(
        name="wce",
        implementation="tune_seg.losses.cross_entropy:CrossEntropyLoss",
        formula="-sum_c w_c P_c log p_c, divided by the sum of the pixels' weights",
        source="Hossain eq. (4); Taubert eq. (1)",
        when="A rare class must be found, and more false alarms on it are acceptable.",
        class_weights="required",
    ),
    LossSpec(
        name="focal",
        implementation="tune_seg.losses.focal:FocalLoss",
        formula="-alpha_y (1 - p_y)^gamma log p_y",
        source="Hossain eq. (6); Taubert eq. (3)",
        when="Most pixels are easy and drown the hard ones; fit a temperature afterwards.",
        parameters=(
            Parameter("gamma", "how much well-classified pixels are played down; 0 gives ce", default=2.0, lower=0.0),
            Parameter("alpha", "factor on the loss, for all or per class", default=None, lower=0.0, per_class=True),
        ),
    ),
    LossSpec(
        name="dual_focal",
        implementation="tune_seg.losses.dual_focal:DualFocalLoss",
        formula="-sum_c log(1 - (P_c - p_c)^2)",
        source="Hossain eq. (7)",
        when="Wrong classes should be pushed down as well as the true one lifted; with `acw` it is Hossain's ADFL.",
    ),
    LossSpec(
        name="dual_focal_2021",
        implementation="tune_seg.losses.dual_focal_2021:DualFocalLoss2021",
        formula="sum_c [-P_c log p_c - beta (1 - P_c) log(rho - p_c) + alpha |P_c - p_c|^gamma]",
        source="Hossain et al. 2021, doi 10.1016/j.neucom.2021.07.055",
        when="You want the dual focal loss with separate weights for its parts, as its journal version has them.",
        parameters=(
            Parameter("alpha", "weight of the distance |P - p|^gamma", default=1.0, lower=0.0),
            Parameter("beta", "weight of the false classes", default=1.0, lower=0.0),
            Parameter("gamma", "exponent of the distance", default=1.0, lower=0.0),
            Parameter("rho", "where the false classes' logarithm would end", default=1.0, lower=1.0),
        ),
    ),
    LossSpec(
        name="dual_ce",
        implementation="tune_seg.losses.dual_ce:DualCrossEntropyLoss",
        formula="sum_c [-P_c log p_c + beta (1 - P_c) log(alpha + p_c)]",
        source="Hossain eq. (10); Li et al. 2019, doi 10.1109/TVT.2019.2895651",
        when="Cross entropy with an extra cost for every wrong class that still has an output.",
        parameters=(
            Parameter("alpha", "what is added to a false class's output", default=2.0, lower=1.0, open=True),
            Parameter("beta", "weight of the false classes", default=2.0, lower=1.0, open=True),
        ),
    ),
    LossSpec(
        name="sigmoid_ce",
        implementation="tune_seg.losses.sigmoid:SigmoidCrossEntropyLoss",
        formula="-P log s - (1 - P) log(1 - s), s the sigmoid of one logit, or of x_1 - x_0",
        source="Hossain eq. (8)",
        when="Two classes and a model with one output; with two outputs it equals `ce`.",
        proper=True,
        max_classes=2,
    ),
    LossSpec(
        name="sigmoid_focal",
        implementation="tune_seg.losses.sigmoid:SigmoidFocalLoss",
        formula="-alpha (1 - s)^gamma P log s - (1 - alpha) s^gamma (1 - P) log(1 - s)",
        source="Hossain eq. (9); Lin et al. 2017, arXiv 1708.02002, eq. (5)",
        when="Two classes with a small foreground, as object detectors are trained.",
        parameters=(
            Parameter("gamma", "how much well-classified pixels are played down", default=2.0, lower=0.0),
            Parameter("alpha", "weight of class 1; class 0 has 1 - alpha", default=0.25, lower=0.0, upper=1.0),
        ),
        max_classes=2,
    ),
    LossSpec(
        name="ce_max_pool",
        implementation="tune_seg.losses.max_pooling:MaxPooledCrossEntropyLoss",
        formula="max_w sum_u w_u ce_u with |w|_p <= n^(-1/q), max(w) <= n^(-1/q) (m n)^(-1/p), 1/p + 1/q = 1",
        source="Taubert eq. (4); Rota Bulo et al. 2017, arXiv 1704.02966",
        when="Few pixels are hard, and the training should look at these most.",
        parameters=(
            Parameter("p", "norm that bounds the pixels' weights", default=1.3, lower=1.0, open=True),
            Parameter(
                "m", "at least this share of the pixels is given weight", default=0.1, lower=0.0, upper=1.0, open=True
            ),
        ),
    ),
    LossSpec(
        name="poly1",
        implementation="tune_seg.losses.poly1:Poly1Loss",
        formula="-log p_y + epsilon (1 - p_y)",
        source="Leng et al. 2022, arXiv 2204.12511",
        when="You want to try a small change of `ce` that has one number to tune.",
        parameters=(Parameter("epsilon", "weight of the first polynomial term; 0 gives ce", default=1.0, lower=-1.0),),
    ),
    LossSpec(
        name="logit_adjusted_ce",
        implementation="tune_seg.losses.logit_adjusted:LogitAdjustedCrossEntropyLoss",
        formula="-log softmax(x - tau log w)_y, w the inverse class frequencies",
        source="Menon et al. 2021, arXiv 2007.07314",
        when="A rare class must be found, and you prefer shifted logits to weighted pixels.",
        class_weights="frequencies",
        parameters=(Parameter("tau", "strength of the adjustment; 0 gives ce", default=1.0, lower=0.0),),
    ),
    LossSpec(
        name="recall_ce",
        implementation="tune_seg.losses.recall:RecallLoss",
        formula="-(1 - R_y) log p_y, R_c the recall of class c in the batch",
        source="Tian et al. 2022, arXiv 2106.14917",
        when="A class should count more while the model misses it, and less once it is found.",
    ),
    LossSpec(
        name="margin_ls",
        implementation="tune_seg.losses.margin:MarginLabelSmoothingLoss",
        formula="-log p_y + penalty sum_c max(0, max_j x_j - x_c - margin)",
        source="Liu et al. 2022, arXiv 2111.15430",
        when="`ce` gives outputs that are too sure: it charges for large gaps between logits.",
        parameters=(
            Parameter("margin", "distance between logits that costs nothing", default=10.0, lower=0.0),
            Parameter("penalty", "cost of what exceeds it; 0 gives ce", default=0.1, lower=0.0),
        ),
    ),
    LossSpec(
        name="nacl",
        implementation="tune_seg.losses.nacl:NeighbourAwareCalibrationLoss",
        formula="-log p_y + penalty sum_c |t_c - x_c|, t_c the share of class c around the pixel",
        source="Murugesan et al. 2023, arXiv 2303.06268",
        when="`ce` is too sure, above all at borders: it pulls outputs towards the classes nearby.",
        parameters=(
            Parameter("penalty", "cost of the distance; 0 gives ce", default=0.1, lower=0.0),
            Parameter("radius", "the window has 2 radius + 1 pixels a side", default=1, lower=1, integer=True),
        ),
    ),
    LossSpec(
        name="tao_dual_focal",
        implementation="tune_seg.losses.tao_dual_focal:TaoDualFocalLoss",
        formula="-(1 - p_y + p_j)^gamma log p_y, p_j the largest output below p_y",
        source="Tao et al. 2023, arXiv 2305.13665; not Hossain's dual focal loss",
        when="`focal` leaves outputs that are not sure enough: it also looks at the second-best class.",
        parameters=(Parameter("gamma", "how much well-classified pixels are played down", default=5.0, lower=0.0),),
    ),
    LossSpec(
        name="dice",
        implementation="tune_seg.losses.dice:DiceLoss",
        formula="1 - 2 (sum_c sum_x P p + s) / (sum_c sum_x (P^2 + p^2) + s + eps), s = 1, eps = 1e-5",
        source="Taubert eq. (2) with all weights 1",
        when="Overlap is what you are judged by; combine it with `ce` if outputs must be probabilities.",
        family="region",
    ),
    LossSpec(
        name="wdice",
        implementation="tune_seg.losses.dice:DiceLoss",
        formula="1 - 2 (sum_c w_c sum_x P p + s) / (sum_c w_c sum_x (P^2 + p^2) + s + eps), s = 1, eps = 1e-5",
        source="Taubert eq. (2)",
        when="Overlap, with a rare class weighing as much as a frequent one; a good start of a schedule to try.",
        family="region",
        class_weights="required",
    ),
    LossSpec(
        name="tversky",
        implementation="tune_seg.losses.dice:TverskyLoss",
        formula="1 - (sum_c (alpha_c + beta_c) sum_x P p + 2 s) / (sum_c sum_x (alpha_c P^2 + beta_c p^2) + s + eps)",
        source="Taubert section 3.2; Salehi et al. 2017, arXiv 1706.05721",
        when="A missed pixel and a false alarm should cost differently: alpha and beta set how much.",
        family="region",
        class_weights="optional",
        parameters=(
            Parameter("alpha", "cost of missed pixels; None: the class weights", default=None, lower=0.0, per_class=True),
            Parameter("beta", "cost of false alarms; None: the class weights", default=None, lower=0.0, per_class=True),
        ),
    ),
    LossSpec(
        name="focal_tversky",
        implementation="tune_seg.losses.focal_tversky:FocalTverskyLoss",
        formula="sum_c (1 - T_c)^(1/gamma), T_c = (sum_x P p + 1) / (sum_x [P p + alpha P (1 - p) + beta (1 - P) p] + 1)",
        source="Abraham & Khan 2019, arXiv 1810.07842",
        when="As `tversky`, with more weight on the classes that are segmented worst.",
        family="region",
        parameters=(
            Parameter("alpha", "cost of missed pixels", default=0.7, lower=0.0),
            Parameter("beta", "cost of false alarms", default=0.3, lower=0.0),
            Parameter("gamma", "above 1: hard classes count more", default=4 / 3, lower=1.0),
        ),
    ),
    LossSpec(
        name="unified_focal",
        implementation="tune_seg.losses.unified_focal:UnifiedFocalLoss",
        formula="weight * modified focal + (1 - weight) * modified focal Tversky",
        source="Yeung et al. 2022, arXiv 2102.04525",
        when="Overlap and focal terms in one loss, where one frequent background class dominates.",
        family="region",
        parameters=(
            Parameter("weight", "share of the focal part", default=0.5, lower=0.0, upper=1.0),
            Parameter(
                "delta", "cost of missing a rare class; 1 - delta: of a false alarm", default=0.6, lower=0.0, upper=1.0
            ),
            Parameter(
                "gamma", "how much easy pixels and classes are played down", default=0.5, lower=0.0, upper=1.0, below=True
            ),
            Parameter("background", "the class that is not rare", default=0, lower=0, integer=True),
            Parameter(
                "variant",
                "whether rare classes are spared the playing down",
                default="asymmetric",
                choices=("asymmetric", "symmetric"),
            ),
        ),
    ),
    LossSpec(
        name="lovasz_softmax",
        implementation="tune_seg.losses.lovasz:LovaszSoftmaxLoss",
        formula="mean over the present classes of the Lovasz extension of 1 - IoU_c at |P_c - p_c|",
        source="Berman et al. 2018, arXiv 1705.08790",
        when="IoU is what you are judged by, and a loss several times as slow as `ce` is acceptable.",
        family="region",
    ),
    LossSpec(
        name="jaccard_metric",
        implementation="tune_seg.losses.jaccard:JaccardMetricLoss",
        formula="mean over the present classes of 1 - (|p + t| - |p - t|) / (|p + t| + |p - t|), t the smoothed truth",
        source="Wang et al. 2023, arXiv 2302.05666",
        when="IoU is what you are judged by, and a faster or label-smoothed loss is wanted.",
        family="region",
        parameters=(
            Parameter(
                "smoothing", "share of the truth spread over all classes", default=0.0, lower=0.0, upper=1.0, below=True
            ),
        ),
    ),
    LossSpec(
        name="ml1_ace",
        implementation="tune_seg.losses.ml1_ace:MarginalL1CalibrationLoss",
        formula="mean over images, classes and their bins that are not empty of |mean of P_c - mean of p_c|",
        source="Barfoot et al. 2024, arXiv 2403.06759 (hard); 2025, arXiv 2506.03942 (soft)",
        when="A small term beside another loss, for calibration; alone it does not teach the classes.",
        family="calibration",
        parameters=(
            Parameter("bins", "how many bins", default=20, lower=1, integer=True),
            Parameter(
                "binning", "a pixel counts in its bin, or in the two nearest", default="hard", choices=("hard", "soft")
            ),
        ),
    ),
)

LOSSES: Mapping[str, LossSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every loss of the package by its name."""


def get_spec(name: str) -> LossSpec:
    """The description of a loss.

    Args:
        name: One of ``LOSSES``, the name of an entry point, or the path ``package.module:ClassOrFactory`` of a loss of the
            user's own; :mod:`tune_seg.losses.own` says what such a loss must be.

    Raises:
        InputError: There is no such loss, and the message lists those there are; or it cannot be imported or used.

    Example:
        >>> [parameter.name for parameter in get_spec("focal").parameters]
        ['gamma', 'alpha']
    """
    if name in LOSSES:
        return LOSSES[name]
    path = name if ":" in name else own.entry_points().get(name)
    if path is None:
        names = dict.fromkeys((*LOSSES, *own.entry_points()))
        raise InputError(
            f"unknown loss {name!r}{did_you_mean(name, names)}; the losses are {', '.join(names)}, or your own as "
            f"package.module:ClassOrFactory"
        )
    return own.describe(name, path)

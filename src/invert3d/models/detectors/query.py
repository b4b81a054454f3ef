"""What DETR and its successors in Hugging Face's transformers share: each query says one box, and none is suppressed.

What the queries should say is the smallest change after which post-processing would leave exactly the asked boxes
(Cao & Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2). Which query becomes which object is
decided as in training, by the matching of Carion et al., *End-to-End Object Detection with Transformers*, 2020,
section 3.1.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from invert3d.models.detectors.box_detector import BoxDetector, hungarian, in_ignored
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.norms import contiguous_gradients

#: more than any cost
NEVER = 1e6


class QueryDetector(BoxDetector):
    """A model of ``transformers`` for object detection, yours or one from ``pretrained``, and its image processor.

    Normalizing is the processor's and belongs to ``raw``. Pictures of ``height`` x ``width`` are not resized. The names
    of the classes are those of the model's configuration (``id2label``).

    Where the pseudo-targets are made, scores are compared with ``score_thresh``: a query below it may say what it
    likes. Post-processing itself has no threshold but the one it is called with.
    """

    #: the class of ``transformers`` that this takes apart, and the image processor that belongs to it
    network: str
    image_processor: str
    #: what of the model's output is a candidate
    outputs: tuple[str, ...] = ("logits", "pred_boxes")
    #: the name of the loss of the classes
    classification: str

    def __init__(
        self, model: nn.Module, processor: Any, *, height: int, width: int, score_thresh: float = 0.05
    ) -> None:
        """Raises TypeError for another network or no image processor, ModuleNotFoundError without transformers."""
        super().__init__()
        if not isinstance(model, getattr(transformers(), self.network)):
            raise TypeError(f"model must be a transformers.{self.network}, not a {type(model).__name__}")
        if not hasattr(processor, "post_process_object_detection"):
            raise TypeError(f"processor must be a {self.image_processor}, not a {type(processor).__name__}")
        self.model, self.processor, self.height, self.width = model, processor, height, width
        self.score_thresh = score_thresh
        labels = self.model.config.id2label
        self.kinds = tuple(labels[k] for k in range(len(labels)))

    @property
    def costs(self) -> tuple[float, float, float]:
        """The weights of class, distance and generalized IoU of boxes in the matching."""
        raise NotImplementedError

    @property
    def box_weights(self) -> tuple[float, float]:
        """The weights of distance and generalized IoU of boxes in the loss."""
        raise NotImplementedError

    @property
    def heads(self) -> Mapping[str, float]:
        """The library's names of the losses, with the weights of the model's configuration."""
        distance, overlap = self.box_weights
        return {self.classification: 1.0, "loss_bbox": float(distance), "loss_giou": float(overlap)}

    @property
    def mean_color(self) -> Sequence[float]:
        """See ``BoxDetector.mean_color``."""
        return self.processor.image_mean

    def placed(self, picture: Float[Tensor, "3 H W"], rows: int, columns: int, above: int) -> Tensor:
        """See ``BoxDetector.placed``; resized by the image processor."""
        size = transformers(".image_utils").SizeDict(height=rows, width=columns)
        resized = self.processor.resize(picture[None], size=size, resample=self.processor.resample)[0]
        return super().placed(resized, rows, columns, above)

    def normalized(self, images: Float[Tensor, "b 3 h w"]) -> Tensor:
        """Pictures as the model takes them."""
        if not self.processor.do_normalize:
            return images
        color = self.processor.image_mean, self.processor.image_std
        mean, std = (images.new_tensor(each)[:, None, None] for each in color)
        return (images - mean) / std

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """All candidates of pictures of any one size, RGB in [0, 1].

        ``logits`` (B, Q, K), of DETR with one more for no object; ``pred_boxes`` (B, Q, 4): center across and down,
        width and height as shares of the picture. ``sizes`` (B, 2), height and width, are constants.
        """
        with contiguous_gradients(self.model):
            said = self.model(pixel_values=self.normalized(images))
        sizes = torch.tensor(images.shape[-2:], device=images.device).expand(len(images), -1)
        return {**{name: getattr(said, name).to(images) for name in self.outputs}, "sizes": sizes}

    @torch.no_grad()
    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the image processor's own post-processing, above a score.
        Boxes may reach beyond the picture. Cameras are not looked at."""
        said = SimpleNamespace(logits=raw["logits"], pred_boxes=raw["pred_boxes"])
        found = self.processor.post_process_object_detection(said, threshold=threshold, target_sizes=raw["sizes"])
        return self.layouts([best_first(each) for each in found], raw["sizes"].tolist(), threshold)

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """See ``BoxDetector.targets``. Raises ValueError for more objects than there are queries."""
        queries = self.model.config.num_queries
        for number, layout in enumerate(layouts):
            if (count := self.count_assignable(layout)) > queries:
                raise ValueError(f"layout {number} asks for {count} objects; with {queries} queries no more are found")
        return super().targets(layouts)

    def scores(self, logits: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """The score of each class of each query, as post-processing has it."""
        raise NotImplementedError

    def fires(self, logits: Float[Tensor, "b q c"]) -> Bool[Tensor, "b q k"]:
        """Which classes of which queries post-processing would keep above ``score_thresh``."""
        raise NotImplementedError

    def class_costs(self, logits: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """How unlikely each class of each candidate is, as the matching counts it."""
        raise NotImplementedError

    def classification_loss(self, logits: Float[Tensor, "b q c"], labels: Int[Tensor, "b q k"]) -> Float[Tensor, "b"]:
        """Of the queries that must change, summed."""
        raise NotImplementedError

    def matching_costs(
        self,
        logits: Float[Tensor, "b q c"],
        found: Float[Tensor, "b q 4"],
        kinds: Int[Tensor, "b n"],
        boxes: Float[Tensor, "b n 4"],
    ) -> Float[Tensor, "b q n"]:
        """How far each candidate is from each object, as in training: by class and box."""
        place = kinds[:, None].expand(-1, logits.shape[1], -1)
        return self.costs[0] * self.class_costs(logits).gather(2, place) + self.box_costs(found, boxes)

    def box_costs(self, found: Float[Tensor, "b q 4"], boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b q n"]:
        """The part of boxes: centers and sides, as shares of the picture."""
        from torchvision.ops import generalized_box_iou

        _, distance, overlap = self.costs
        shared = torch.vmap(generalized_box_iou)(corners(found), corners(boxes))
        cost = distance * torch.cdist(found, boxes, p=1) - overlap * shared
        return cost.nan_to_num(NEVER)  # of empty boxes

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The smallest change of the queries after which post-processing would leave exactly the objects.

        The matching gives each object a query, so that the sum of their ``matching_costs`` is least. Every other query
        that post-processing would keep becomes no object, except in a region to be ignored. Nothing is suppressed, so
        objects may overlap as they like.

        Returns:
            ``labels`` (B, Q, K): 1 for an object, 0 for a class that must not be seen, -1 for what may stay as it is;
            the ``queries`` (B, N) that become the objects, ``asked`` (B, N), and the ``kinds`` (B, N) and ``boxes``
            (B, N, 4) of the objects: centers and sides, as shares of the picture.
        """
        asked, kinds = self.asked(targets), targets["kinds"].clamp_min(0)
        logits, found = raw["logits"], raw["pred_boxes"]
        boxes = shares_of(targets["boxes"], raw["sizes"]).to(found)
        queries = hungarian(self.matching_costs(logits, found, kinds, boxes), asked)
        sample, number = asked.nonzero(as_tuple=True)
        query = queries[sample, number]
        moved = found.index_put((sample, query), boxes[sample, number])
        spared = in_ignored(corners(moved), corners(boxes), targets, len(self.kinds))
        labels = torch.where(self.fires(logits) & ~spared, 0, -1).to(torch.int8)
        labels[sample, query, kinds[sample, number]] = 1
        return {"labels": labels, "queries": queries, "asked": asked, "kinds": kinds, "boxes": boxes}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """The ``classification_loss`` of the queries that must change, and distance and generalized IoU loss of those
        that become objects, all divided by the number of objects. Raises ValueError for another divisor: there are no
        slots."""
        self.check_per(per)
        found = torch.take_along_dim(raw["pred_boxes"], assigned["queries"][..., None], 1)
        of_class = self.classification_loss(raw["logits"], assigned["labels"])
        return {self.classification: per_object(of_class, assigned), **self.box_losses(found, assigned)}

    def object_readings(
        self, raw: dict[str, Tensor], assigned: dict[str, Tensor], kinds: Int[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 4"]]:
        """See ``BoxDetector.object_readings``; boxes are shares of the picture."""
        query = assigned["queries"][..., None]
        scores = torch.take_along_dim(self.scores(raw["logits"]), query, 1)
        found = corners(torch.take_along_dim(raw["pred_boxes"], query, 1))
        return scores.gather(2, kinds[..., None])[..., 0], found

    def asked_boxes(self, assigned: dict[str, Tensor]) -> Float[Tensor, "b n 4"]:
        """See ``BoxDetector.asked_boxes``."""
        return corners(assigned["boxes"])

    def box_losses(self, found: Float[Tensor, "b n 4"], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of the boxes of candidates that become objects: distance (L1) and generalized IoU loss."""
        from torchvision.ops import generalized_box_iou_loss

        asked, boxes = assigned["asked"], assigned["boxes"]
        away = (found - boxes).abs().sum(-1)
        apart = generalized_box_iou_loss(corners(found), corners(boxes))
        sums = (torch.where(asked, each, 0).sum(1) for each in (away, apart))
        return {name: per_object(each, assigned) for name, each in zip(("loss_bbox", "loss_giou"), sums, strict=True)}


def transformers(part: str = "") -> Any:
    """Hugging Face's library, or a module of it. Raises ModuleNotFoundError if it is not installed."""
    try:
        return import_module(f"transformers{part}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("models of transformers need the extra hf: pip install 'invert3d[hf]'") from error


def best_first(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Detections in the order of their scores."""
    order = found["scores"].argsort(descending=True, stable=True)
    return {name: value[order] for name, value in found.items()}


def corners(boxes: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Boxes from centers and sides to left, top, right, bottom."""
    centers, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centers - halves, centers + halves], -1)


def shares_of(boxes: Float[Tensor, "b n 4"], sizes: Int[Tensor, "b 2"]) -> Float[Tensor, "b n 4"]:
    """Boxes from left, top, right, bottom in pixels to centers and sides, as shares of the picture."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1) / sizes.flip(1).repeat(1, 2)[:, None]


def per_object(values: Float[Tensor, "b"], assigned: dict[str, Tensor]) -> Float[Tensor, "b"]:
    """Sums divided by the number of objects that are asked for."""
    return values / assigned["asked"].sum(1).clamp_min(1)

"""What the tests of query detectors share: tiny models of transformers with random weights, and the change assigned."""

from __future__ import annotations

import copy
from functools import cache

import torch
import transformers
from torch import Tensor, nn

from invert3d.models.detectors.detr import DetrDetector
from invert3d.models.detectors.query import QueryDetector
from invert3d.models.detectors.rt_detr import RTDetrDetector
from tests.models.dense import KINDS as WITH_BACKGROUND

KINDS = WITH_BACKGROUND[1:]
NAMES = {"id2label": dict(enumerate(KINDS)), "label2id": {kind: k for k, kind in enumerate(KINDS)}}
SMALL = {"embedding_size": 8, "depths": [1, 1, 1, 1], "layer_type": "basic"}
HEIGHT, WIDTH = 64, 96


def detr(queries: int = 12, **settings) -> transformers.DetrForObjectDetection:
    backbone = transformers.ResNetConfig(**SMALL, hidden_sizes=[8, 8, 16, 16], out_features=["stage4"])
    layers = {f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    sides = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": queries}
    config = transformers.DetrConfig(backbone_config=backbone, **sides, **layers, **NAMES, **settings)
    model = transformers.DetrForObjectDetection(config)
    nn.init.normal_(model.model.query_position_embeddings.weight)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Linear):
            louden(module, 1.5)
    return model


def rt_detr(queries: int = 12, **settings) -> transformers.RTDetrForObjectDetection:
    maps = ["stage2", "stage3", "stage4"]
    backbone = transformers.RTDetrResNetConfig(**SMALL, hidden_sizes=[8, 16, 16, 32], out_features=maps)
    sides = {"d_model": 16, "encoder_hidden_dim": 16, "encoder_in_channels": [16, 16, 32]}
    sides |= {
        "freeze_backbone_batch_norms": False,
        "decoder_in_channels": [16] * 3,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "num_queries": queries,
    }
    layers = {"decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_n_points": 2}
    config = transformers.RTDetrConfig(backbone_config=backbone, **sides, **layers, **NAMES, **settings)
    model = transformers.RTDetrForObjectDetection(config)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        elif isinstance(module, nn.Linear):
            louden(module, 1.5)
    with torch.no_grad():
        model.train()(pixel_values=torch.rand(4, 3, HEIGHT, WIDTH))  # else no picture makes a difference
    return model


def louden(layer: nn.Module, scale: float) -> None:
    """Weights so large that what a layer says differs from place to place, and no bias."""
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=scale / layer.in_features**0.5)
    nn.init.zeros_(layer.bias)


MODELS = {"detr": detr, "rt_detr": rt_detr}
DETECTORS = {"detr": DetrDetector, "rt_detr": RTDetrDetector}


def processor_of(family: str, **settings) -> transformers.DetrImageProcessor | transformers.RTDetrImageProcessor:
    return getattr(transformers, DETECTORS[family].image_processor)(**settings)


@cache
def built(family: str, seed: int, **settings) -> nn.Module:
    """A model in eval mode, made once."""
    torch.manual_seed(seed)
    return MODELS[family](**settings).eval()


def tiny(
    family: str, seed: int = 0, height: int = HEIGHT, width: int = WIDTH, thresh: float = 0.05, **settings
) -> QueryDetector:
    model = copy.deepcopy(built(family, seed, **settings))
    return DETECTORS[family](model, processor_of(family), height=height, width=width, score_thresh=thresh).eval()


def changed(detector: QueryDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Z of the paper: the candidates with what was assigned to them, and all others as they are."""
    labels, logits, found = assigned["labels"], raw["logits"].clone(), raw["pred_boxes"].clone()
    if isinstance(detector, DetrDetector):
        logits[..., -1] = torch.where((labels == 0).any(-1), 99.0, logits[..., -1])
        logits[..., :-1] = torch.where(labels == 1, 199.0, logits[..., :-1])
    else:
        logits = torch.where(labels == 1, 9.0, torch.where(labels == 0, -9.0, logits))
    meant = raw | {"logits": logits, "pred_boxes": found}
    for i, n in assigned["asked"].nonzero().tolist():
        found[i, assigned["queries"][i, n]] = assigned["boxes"][i, n]
        if "tokens" in assigned:
            token, kind = assigned["tokens"][i, n], assigned["kinds"][i, n]
            meant["enc_outputs_class"] = meant["enc_outputs_class"].clone()
            meant["enc_outputs_coord_logits"] = meant["enc_outputs_coord_logits"].clone()
            meant["enc_outputs_class"][i, token, kind] = 9.0
            meant["enc_outputs_coord_logits"][i, token] = assigned["boxes"][i, n].logit()
    return meant


def library_targets(assigned: dict[str, Tensor], i: int) -> list[dict[str, Tensor]]:
    """The objects of one sample as the library's own losses and matchers take them."""
    asked = assigned["asked"][i]
    return [{"class_labels": assigned["kinds"][i][asked], "boxes": assigned["boxes"][i][asked]}]

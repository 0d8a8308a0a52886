"""What the documents that describe the networks say of their size: data, to stand beside counts.

Source: the documents this project began with, by number. 000 and 001 are introductions, 002 is the
diagram of Nano-B Enhanced, 003 that of V1 and Nano-B, 004 describes the modules of V2. Their
figures are estimates of dense or of pruned networks and contradict each other in places; the notes
say what counting found.

A document stands beside a network only if all that its figures depend on is as described, dense or
pruned: most figures are of what pruning leaves. None describes the 48 channels of
nano_b_enhanced_w48, which are this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A document's word on the parameters of one part."""

    said: str
    note: str
    """What to make of it, beside the dense network or a pruned one."""
    dense: str = ""
    """What to add beside the dense network."""


class Document(NamedTuple):
    """A document on one network."""

    number: str
    describes: Mapping[str, Any]
    """The settings, of a model's configuration, that make a network the one described."""
    priors_per_cell: int
    """On every level, whatever their sizes."""
    figures: Mapping[str, Figure]
    """Name of a part, or ``total`` -> figure."""


DOCUMENTS = (
    Document(
        "002",
        {
            "name": "nano_b", "channels": 32, "cbam": {"reduction": 16}, "context_groups": 1,
            "head_stem": True, "shared_heads": False, "scale_decoupling": True,
            "deep_evidence": False, "semantic": True, "assn": True,
        },
        3,
        {
            "backbone": Figure(
                "~58,000", "after pruning: at the documents' highest rates 58,979 are left"
            ),
            "neck.decoupling": Figure(
                "~1,500", "the last of the three convolutions drawn, which have 8,829 in all"
            ),
            "neck.attention_in": Figure(
                "~1,080",
                "for 27, 50 and 87 channels, where it would be 1,697",
                "dense there are 64, 128 and 256, and 256 alone take 8,564",
            ),
            "neck.bifpn": Figure("~8,200", "after pruning"),
            "neck.semantic": Figure(
                "~4,000",
                "of the dense module; the parts it lists, 2,800 + 900 + 1,200, are 4,900",
            ),
            "neck.assn": Figure(
                "~2,000",
                "of the dense module",
                "the published one has 24,518 at 32 channels, ours is smaller",
            ),
            "neck.attention_out": Figure(
                "~440", "two modules of 220", "at 32 channels one has 262"
            ),
            "context.field": Figure(
                "~12,000",
                "after pruning; even the branches drawn have 7,168 a level, not 4,000",
            ),
            "heads": Figure(
                "~1,600",
                "one level, without our stems",
                "three heads of three priors a cell have 4,752",
            ),
            "total": Figure(
                "120,000 to 180,000", "after pruning; its own rows sum to 89,100"
            ),
        },
    ),
    Document(
        "003",
        {
            "name": "nano_b", "channels": 72, "cbam": {"reduction": 8}, "context_groups": 2,
            "head_stem": True, "shared_heads": False, "scale_decoupling": False,
            "deep_evidence": False, "semantic": False, "assn": False,
        },
        2,
        {
            "backbone": Figure(
                "~60,000",
                "after pruning; stages of 32, 64 and 128 channels would have 59,920",
            ),
            "neck.attention_in": Figure(
                "~8,000",
                "5,928 for the 32, 64 and 128 channels drawn",
                "dense there are twice them",
            ),
            "neck.bifpn": Figure(
                "~45,000", "after pruning; of it 444 fusion weights, which are 9"
            ),
            "neck.attention_out": Figure(
                "~8,000", "called the same as before the pyramid", "dense it has 4,431"
            ),
            "context.field": Figure(
                "~35,000",
                "divides by the groups twice",
                "5,900 for a convolution of 11,664",
            ),
            "heads": Figure(
                "~15,000",
                "of which ~12,120 for processing that is not drawn (here the stems), and one prior "
                "a cell, not two",
            ),
            "total": Figure(
                "120,000 to 180,000", "after pruning; its own rows sum to 171,000"
            ),
        },
    ),
    Document(
        "004",
        {
            "name": "featherface_v2", "cbam": {"shared": True, "reduction": 32},
            "shared_heads": True,
        },
        2,
        {
            "neck.attention": Figure(
                "27,136", "half of V1's 54,272, which are 13,568: nested modules counted four times"
            ),
            "heads": Figure(
                "3,072", "for three priors a cell and without biases; this network has two"
            ),
        },
    ),
    Document(
        "004",
        {
            "name": "featherface_v1", "preset": "v1_592371", "channels": 64, "bifpn_repeats": 3,
            "cbam_reduction": 16, "context": "dcn_ssh", "mixer": True,
        },
        2,
        {
            "neck.attention_in": Figure(
                "54,272", "with attention_out, together 13,568: nested modules counted four times"
            ),
            "total": Figure(
                "0.592M",
                "dense; the published 0.49M is a profiler's 488,661, without deformable kernels",
            ),
        },
    ),
    Document(
        "003",
        {
            "name": "featherface_v1", "preset": "v1_487103", "channels": 74, "bifpn_repeats": 2,
            "cbam_reduction": 48, "context": "conv3x3", "mixer": False,
        },
        2,
        {"total": Figure("487,103", "dense")},
    ),
    *(
        Document(
            "000, 002",
            {
                "name": "featherface_v1", "preset": preset, "channels": 56, "bifpn_repeats": 2,
                "cbam_reduction": reduction, "context": "dcn_ssh", "mixer": False,
            },
            2,
            {
                "total": Figure(
                    "494,000",
                    "preset v1_493778; documents 003 and 004 mean v1_487103 and v1_592371 by this "
                    "name",
                )
            },
        )
        for preset, reduction in (("v1_493778", 48), ("v1_489015", None))
    ),
)  # fmt: skip


def describing(config: Mapping[str, Any]) -> Document | None:
    """The document on the network of a model configuration, or None."""
    for document in DOCUMENTS:
        counts = {len(sizes) for sizes in config.get("prior_sizes", ())}
        if counts == {document.priors_per_cell} and _agrees(config, document.describes):
            return document
    return None


def _agrees(value: Any, described: Any) -> bool:
    """Whether a value is the one described; of a table, all that is described of it."""
    if isinstance(described, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _agrees(value[name], each) for name, each in described.items()
        )
    return bool(value == described)

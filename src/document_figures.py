"""What the documents that describe the networks say of their size: data, to stand beside counts.

Source: the documents this project began with, by number. 000 and 001 are introductions, 002 is the
diagram of Nano-B Enhanced, 003 that of V1 and Nano-B, 004 describes the modules of V2. Their
figures are estimates of dense or of pruned networks and contradict each other in places; the notes
say what counting found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A document's word on the parameters of one part."""

    said: str
    note: str
    """What to make of it."""


class Document(NamedTuple):
    """A document on one network."""

    number: str
    describes: Mapping[str, Any]
    """The settings, of a model's configuration, that make a network the one described."""
    figures: Mapping[str, Figure]
    """Name of a part, or ``total`` -> figure."""


DOCUMENTS = (
    Document(
        "002",
        {"name": "nano_b", "scale_decoupling": True, "semantic": True, "assn": True},
        {
            "backbone": Figure(
                "~58,000",
                "after pruning, not dense: at the documents' highest rates 58,979 are left",
            ),
            "neck.decoupling": Figure(
                "~1,500", "the last of the three convolutions drawn, which have 8,829 in all"
            ),
            "neck.attention_in": Figure(
                "~1,080",
                "for 27, 50 and 87 channels, where it would be 1,697; dense there are 64, 128 and "
                "256, and 256 alone take 8,564",
            ),
            "neck.bifpn": Figure("~8,200", "after pruning, not dense"),
            "neck.semantic": Figure(
                "~4,000", "dense; the parts it lists, 2,800 + 900 + 1,200, are 4,900"
            ),
            "neck.assn": Figure(
                "~2,000", "dense; the published module has 24,518 at 32 channels, ours is smaller"
            ),
            "neck.attention_out": Figure("~440", "two modules of 220; at 32 channels one has 262"),
            "context.field": Figure(
                "~12,000",
                "after pruning, not dense: even the branches drawn have 7,168 a level, not 4,000",
            ),
            "heads": Figure(
                "~1,600",
                "one level: three heads of three priors a cell have 4,752, without our stems",
            ),
            "total": Figure(
                "120,000 to 180,000", "after pruning, not dense; its own rows sum to 89,100"
            ),
        },
    ),
    Document(
        "003",
        {"name": "nano_b", "scale_decoupling": False, "semantic": False, "assn": False},
        {
            "backbone": Figure(
                "~60,000",
                "after pruning, not dense; stages of 32, 64 and 128 channels would have 59,920",
            ),
            "neck.attention_in": Figure(
                "~8,000", "5,928 for the 32, 64 and 128 channels drawn; dense there are twice them"
            ),
            "neck.bifpn": Figure(
                "~45,000", "after pruning, not dense; of it 444 fusion weights, which are 9"
            ),
            "neck.attention_out": Figure(
                "~8,000", "called the same as before the pyramid; dense it has 4,431"
            ),
            "context.field": Figure(
                "~35,000", "divides by the groups twice: 5,900 for a convolution of 11,664"
            ),
            "heads": Figure(
                "~15,000",
                "of which ~12,120 for processing that is not drawn (here the stems), and one prior "
                "a cell, not two",
            ),
            "total": Figure(
                "120,000 to 180,000", "after pruning, not dense; its own rows sum to 171,000"
            ),
        },
    ),
    Document(
        "004",
        {"name": "featherface_v2"},
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
        {"name": "featherface_v1", "preset": "v1_592371"},
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
        {"name": "featherface_v1", "preset": "v1_487103"},
        {"total": Figure("487,103", "dense")},
    ),
    Document(
        "000, 002",
        {"name": "featherface_v1"},
        {
            "total": Figure(
                "494,000",
                "preset v1_493778; documents 003 and 004 mean v1_487103 and v1_592371 by this name",
            )
        },
    ),
)
"""Where several describe a network, the first is the closest."""


def describing(config: Mapping[str, Any]) -> Document | None:
    """The document on the network of a model configuration, or None."""
    for document in DOCUMENTS:
        if all(config.get(name) == value for name, value in document.describes.items()):
            return document
    return None

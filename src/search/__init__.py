"""Bayesian search: spaces, samplers, studies that several processes share, and what they choose."""

from src.search.sampling import Feasible, SearchSampler
from src.search.space import Space

__all__ = ["Feasible", "SearchSampler", "Space"]

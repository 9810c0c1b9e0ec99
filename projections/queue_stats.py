"""The projection `queue_stats`: what happened in each minute, and how long it took, as histograms."""

from projections.lagging import lagging

QUEUE_STATS = lagging("queue_stats")

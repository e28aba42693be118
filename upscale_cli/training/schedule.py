"""The learning rate as a function of the iteration: nothing to store, so nothing to get wrong on resuming."""

from __future__ import annotations

import math

from upscale_cli.training.recipe import Schedule


def rate_factor(schedule: Schedule, step: int) -> float:
    """What the rate is multiplied by in iteration ``step``, counted from 0."""
    warmth = min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else 1.0
    if schedule.kind == "steps":
        return warmth * float(schedule.factor ** sum(step >= milestone for milestone in schedule.milestones))
    if schedule.kind == "cosine":
        progress = min(1.0, step / schedule.iterations)
        return warmth * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress)))
    return warmth

"""Rendered scenes: a boat's camera over water with floating objects, and the truth about them."""

from dicem_simulators.scenes.objects import KINDS, LITTER, MATERIAL, SceneObject
from dicem_simulators.scenes.render import Scene, Truth, random_scene, render

__all__ = ["KINDS", "LITTER", "MATERIAL", "Scene", "SceneObject", "Truth", "random_scene", "render"]

"""The published hybrid diffusion model of arXiv:2602.03405 (Jo et al., 2026), as its authors released it.

``docs/explanation/published-model.md`` lists what paper and released code say and where they differ.
Nothing heavy is imported here; ask the registry for ``hybrid-unet-2602.03405``.
"""

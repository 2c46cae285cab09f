"""Marks that say what an image is: content credentials, watermark, visible label, fingerprint; and a detector."""

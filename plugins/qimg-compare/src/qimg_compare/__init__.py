"""Arms of one image generator compared under a plan that was written down first (imports nothing here)."""

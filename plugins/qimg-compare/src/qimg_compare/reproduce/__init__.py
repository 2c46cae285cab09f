"""``qimg reproduce``: published figures beside ours, each with the band that was expected (imports nothing)."""

"""C2PA content credentials: an own authority, the manifest, signing and reading."""

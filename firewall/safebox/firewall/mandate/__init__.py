"""The mandate as people write it: `safebox.toml`, read with errors that name the line, and explained in words."""

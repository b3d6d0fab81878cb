"""Fill and frame joined: what is replaced, with what, and how softly."""

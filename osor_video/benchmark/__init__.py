"""How well and how fast: clips with a true clean plate, measured inside the hole and where effects lie."""

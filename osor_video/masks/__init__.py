"""From the mask of one frame to a mask for every frame."""

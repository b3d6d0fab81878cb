"""Remove a thing from a video clip, with its shadow and its reflection: one mask, one diffusion step a frame."""
